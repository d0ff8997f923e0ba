"""The MITRE ATT&CK techniques (Enterprise, version 17) that the catalogue names."""

from __future__ import annotations

from typing import Final

TECHNIQUES: Final = {
    "T1021.007": "Remote Services: Cloud Services",
    "T1053": "Scheduled Task/Job",
    "T1078.004": "Valid Accounts: Cloud Accounts",
    "T1087": "Account Discovery",
    "T1110": "Brute Force",
    "T1110.003": "Brute Force: Password Spraying",
    "T1110.004": "Brute Force: Credential Stuffing",
    "T1119": "Automated Collection",
    "T1190": "Exploit Public-Facing Application",
    "T1489": "Service Stop",
    "T1496": "Resource Hijacking",
    "T1499.002": "Endpoint Denial of Service: Service Exhaustion Flood",
    "T1499.003": "Endpoint Denial of Service: Application Exhaustion Flood",
    "T1530": "Data from Cloud Storage",
    "T1550.001": "Use Alternate Authentication Material: Application Access Token",
    "T1562.008": "Impair Defenses: Disable or Modify Cloud Logs",
    "T1595.002": "Active Scanning: Vulnerability Scanning",
    "T1595.003": "Active Scanning: Wordlist Scanning",
    "T1648": "Serverless Execution",
}
