//! The gate before the provider records that others store here: so many of a provider, of the right form,
//! with addresses that the network spans.

use std::collections::BTreeMap;

use libp2p::kad::{ProviderRecord, RecordKey};
use starling_wire::limits::DESCRIPTOR_ADDRESSES_MAX;
use starling_wire::network::Scope;

use crate::address::{NodeKey, usable};

/// Provider records that one peer may store here: two keys for each of two days, with room for a second
/// topic.
pub(super) const RECORDS_A_PROVIDER_MAX: usize = 8;
/// Providers whose records are counted.
pub(super) const PROVIDERS_MAX: usize = 2_048;

/// The gate before the store of provider records.
#[derive(Debug, Default)]
pub(crate) struct ProviderGate {
    pub(super) keys: BTreeMap<NodeKey, Vec<RecordKey>>,
}

impl ProviderGate {
    /// The record as it may be stored: of a node key, under a key of the right form, with addresses of the
    /// network's scope, eight of a provider, the oldest pushed out. The second part is a record to remove.
    pub(crate) fn admit(
        &mut self,
        mut record: ProviderRecord,
        network: Scope,
    ) -> Option<(ProviderRecord, Option<RecordKey>)> {
        let provider = NodeKey::from_peer_id(&record.provider)?;
        let key: &[u8] = record.key.as_ref();
        if key.len() != 34 || !key.starts_with(&[0x12, 0x20]) {
            return None;
        }
        record.addresses.retain_mut(|address| match usable(address, network, None) {
            Some(plain) => {
                *address = plain;
                true
            }
            None => false,
        });
        record.addresses.truncate(DESCRIPTOR_ADDRESSES_MAX);
        if !self.keys.contains_key(&provider) && self.keys.len() >= PROVIDERS_MAX {
            return None;
        }
        let keys = self.keys.entry(provider).or_default();
        keys.retain(|known| *known != record.key);
        keys.push(record.key.clone());
        let removed = (keys.len() > RECORDS_A_PROVIDER_MAX).then(|| keys.remove(0));
        Some((record, removed))
    }

    /// Forgets the counts; called once a day, after which all records of before have expired or will soon.
    pub(crate) fn new_day(&mut self) {
        self.keys.clear();
    }
}
