//! End-to-end encryption: identity, prekeys, handshake, ratchet sessions.
