"""The claims of the papers: declared as data in recipes/claims, measured, decided by rule.

Each result is one JSON row and one record; docs/claims.md is computed from the rows. May import
every room below demo."""
