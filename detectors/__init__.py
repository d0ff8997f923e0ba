"""What deserves a person: schema, features, scoring, explanation, incidents. No Beam, no Azure."""
