//! The local HTTP API: types, error codes and the client.
