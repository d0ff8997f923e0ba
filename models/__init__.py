"""What normal looks like: forests, baselines, calibration, bundles and their registry. No Beam, no Azure."""
