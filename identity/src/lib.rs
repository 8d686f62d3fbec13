//! SPIFFE identities: X.509-SVID rules, roles, sources and the development CA.
