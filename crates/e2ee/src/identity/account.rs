//! An account that goes on with another device: what of an identity is kept in a backup, and the device list that
//! follows it. SPEC: B6 (device list); "Backup" of the product's design: a restored device is a new device.

use serde::{Deserialize, Serialize};

use crate::primitives::label;
use crate::primitives::signature::{SIGNATURE_BYTES, SignatureKey};
use crate::primitives::x25519::KeyPair;

use super::{DeviceList, DevicePublic, Identity, ListError, ListHead, ListedDevice};

/// What of an [`Identity`] outlives its device: the account's key and its newest device list. Never a device's keys.
///
/// Encoded as `account seed 32 | device list`; reading it back checks that the list is the account's.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "AccountRecord")]
pub struct Account {
    key: SignatureKey,
    list: DeviceList,
}

/// An [`Account`] as it was stored.
#[derive(Deserialize)]
struct AccountRecord {
    key: SignatureKey,
    list: DeviceList,
}

impl TryFrom<AccountRecord> for Account {
    type Error = ListError;

    fn try_from(AccountRecord { key, list }: AccountRecord) -> Result<Self, ListError> {
        list.verify(&key.public())?;
        Ok(Self { key, list })
    }
}

impl Account {
    /// A, Ed25519.
    pub fn public(&self) -> [u8; 32] {
        self.key.public()
    }

    /// The newest list that this account is known to have signed.
    pub fn list(&self) -> &DeviceList {
        &self.list
    }

    /// A new device under this account, the only one of a list that follows the known one: all devices before it
    /// are revoked. Draws 32 bytes each for S and D.
    ///
    /// # Errors
    /// [`ListError::NotNext`] when no version is left.
    pub fn new_device(self, rng: &mut impl rand_core::CryptoRng) -> Result<Identity, ListError> {
        let head = self.list.head(&self.key.public());
        Identity::alone(self.key, SignatureKey::generate(rng), KeyPair::generate(rng), &head)
    }
}

impl Identity {
    /// What of it goes into a backup.
    pub fn account(&self) -> Account {
        Account { key: self.account.clone(), list: self.list.clone() }
    }

    /// Signs another list with this device alone, to follow `known`, which somebody else signed with the account's
    /// key: a device restored from the same backup before this one.
    ///
    /// # Errors
    /// [`ListError::NotNext`] when no version is left; nothing was changed then.
    pub fn follow(&mut self, known: &ListHead) -> Result<(), ListError> {
        let device = self.public();
        let list = DeviceList::alone(&self.account, listed(&device), known)?;
        self.cert = certify(&self.account, &device, &list.head(&device.account));
        self.list = list;
        Ok(())
    }

    fn alone(
        account: SignatureKey,
        signing: SignatureKey,
        agreement: KeyPair,
        known: &ListHead,
    ) -> Result<Self, ListError> {
        let device =
            DevicePublic { account: account.public(), signing: signing.public(), agreement: *agreement.public() };
        let list = DeviceList::alone(&account, listed(&device), known)?;
        let cert = certify(&account, &device, &list.head(&device.account));
        Ok(Self { account, signing, agreement, list, cert })
    }
}

impl DeviceList {
    /// The list right after `known`, with one device.
    fn alone(account: &SignatureKey, device: ListedDevice, known: &ListHead) -> Result<Self, ListError> {
        let version = known.version.checked_add(1).ok_or(ListError::NotNext)?;
        let mut list =
            Self { version, previous_head: known.head, devices: vec![device], signature: [0; SIGNATURE_BYTES] };
        list.signature = account.sign(&[label!("device list"), &list.signed_part()]);
        Ok(list)
    }
}

const fn listed(device: &DevicePublic) -> ListedDevice {
    ListedDevice { signing: device.signing, agreement: device.agreement }
}

/// The account's certificate for `device`, in the state of the list that `head` names.
pub(super) fn certify(account: &SignatureKey, device: &DevicePublic, head: &ListHead) -> [u8; SIGNATURE_BYTES] {
    let version = head.version.to_le_bytes();
    account.sign(&[label!("device"), &device.signing, &device.agreement, &version, &head.head])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{ListOrder, is_certified};
    use crate::tests::world::rng;

    #[test]
    fn a_new_device_follows_the_old_one_and_revokes_it() {
        let old = Identity::generate(&mut rng(1));
        let bytes = serde_json::to_vec(&old.account()).expect("it encodes");
        let account: Account = serde_json::from_slice(&bytes).expect("it decodes");
        assert_eq!((account.public(), account.list()), (old.public().account, old.list()));
        let new = account.new_device(&mut rng(2)).expect("a version is left");
        assert_eq!(new.public().account, old.public().account);
        assert_ne!(new.public().signing, old.public().signing);
        assert_ne!(new.public().agreement, old.public().agreement);
        assert_eq!(new.list().devices(), [listed(&new.public())]);
        assert_eq!(new.list().verify(&new.public().account), Ok(()));
        assert_eq!(new.list().continues(&old.list_head()), Ok(()));
        assert_eq!(old.list_head().compare(&new.list_head()), ListOrder::Newer);
        assert!(is_certified(&new.public(), &new.list_head(), new.cert()));
        assert!(!is_certified(&old.public(), &new.list_head(), old.cert()));
        // As it is stored, and read back with all its checks.
        let stored = serde_json::to_vec(&new).expect("it encodes");
        let restored: Identity = serde_json::from_slice(&stored).expect("it decodes");
        assert_eq!(restored.list_head(), new.list_head());
    }

    #[test]
    fn two_devices_of_one_backup_come_into_one_line() {
        let old = Identity::generate(&mut rng(1));
        let first = old.account().new_device(&mut rng(2)).expect("a version is left");
        let mut second = old.account().new_device(&mut rng(3)).expect("a version is left");
        assert_eq!(first.list_head().compare(&second.list_head()), ListOrder::Forked);
        second.follow(&first.list_head()).expect("a version is left");
        assert_eq!(first.list_head().compare(&second.list_head()), ListOrder::Newer);
        assert_eq!(second.list().continues(&first.list_head()), Ok(()));
        assert!(is_certified(&second.public(), &second.list_head(), second.cert()));
        let last = ListHead { version: u32::MAX, head: [1; 32] };
        assert_eq!(second.follow(&last), Err(ListError::NotNext));
    }

    #[test]
    fn a_list_of_another_account_is_refused() {
        let (ours, theirs) = (Identity::generate(&mut rng(1)), Identity::generate(&mut rng(2)));
        let mixed = Account { key: ours.account.clone(), list: theirs.list.clone() };
        let bytes = serde_json::to_vec(&mixed).expect("it encodes");
        assert!(serde_json::from_slice::<Account>(&bytes).is_err());
    }
}
