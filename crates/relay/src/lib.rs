//! What a node does for anyone: admission, stamps, keep rule, sync, push.
