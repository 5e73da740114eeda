"""Credentials that lie encrypted in the repository: SOPS files with age recipients, and the policy on top of them."""
