//! Every byte that strangers see: envelopes, ids, frames, invites, limits, the codec.
