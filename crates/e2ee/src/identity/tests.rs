//! Device lists as an account's peers check them, and identities as they are stored.

use super::*;
use crate::tests::world::rng;

fn account() -> SignatureKey {
    SignatureKey::generate(&mut rng(1))
}

fn device(number: u8) -> ListedDevice {
    ListedDevice { signing: [number; 32], agreement: [number; 32] }
}

fn signed(mut list: DeviceList, account: &SignatureKey) -> DeviceList {
    list.signature = account.sign(&[label!("device list"), &list.signed_part()]);
    list
}

/// The version after `list`, with `devices`.
fn next(list: &DeviceList, devices: Vec<ListedDevice>, account: &SignatureKey) -> DeviceList {
    let head = list.head(&account.public());
    let next = DeviceList { version: head.version + 1, previous_head: head.head, devices, signature: [0; 64] };
    signed(next, account)
}

#[test]
fn a_list_survives_its_encoding() {
    let account = account();
    let list = next(&DeviceList::first(&account, device(1)), (1..=8).map(device).collect(), &account);
    assert_eq!(list.encode().len(), 613);
    assert_eq!(DeviceList::decode(&list.encode(), &account.public()), Ok(list));
}

#[test]
fn every_flipped_byte_is_found() {
    let account = account();
    let bytes = DeviceList::first(&account, device(1)).encode();
    for index in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[index] ^= 1 << (index % 8);
        assert!(DeviceList::decode(&flipped, &account.public()).is_err(), "byte {index}");
    }
    for length in 0..bytes.len() {
        assert_eq!(DeviceList::decode(&bytes[..length], &account.public()), Err(ListError::Malformed));
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(DeviceList::decode(&longer, &account.public()), Err(ListError::Malformed));
}

#[test]
fn only_well_formed_lists_of_the_account_hold() {
    let account = account();
    let first = DeviceList::first(&account, device(1));
    let verify = |list: &DeviceList| list.verify(&account.public());
    assert_eq!(verify(&first), Ok(()));
    assert_eq!(first.verify(&SignatureKey::generate(&mut rng(2)).public()), Err(ListError::Signature));
    assert_eq!(verify(&next(&first, vec![], &account)), Err(ListError::Malformed));
    assert_eq!(verify(&next(&first, (0..9).map(device).collect(), &account)), Err(ListError::Malformed));
    assert_eq!(verify(&next(&first, vec![device(1), device(2), device(1)], &account)), Err(ListError::Repeated));
    assert_eq!(verify(&signed(DeviceList { version: 0, ..first.clone() }, &account)), Err(ListError::Malformed));
    assert_eq!(verify(&signed(DeviceList { version: 2, ..first.clone() }, &account)), Err(ListError::Malformed));
    let chained_first = DeviceList { previous_head: [1; 32], ..first };
    assert_eq!(verify(&signed(chained_first, &account)), Err(ListError::Malformed));
}

#[test]
fn versions_form_one_chain() {
    let account = account();
    let first = DeviceList::first(&account, device(1));
    let second = next(&first, vec![device(1), device(2)], &account);
    let fork = next(&first, vec![device(1), device(3)], &account);
    let third = next(&second, vec![device(2)], &account);
    let head = |list: &DeviceList| list.head(&account.public());
    assert_eq!(second.continues(&head(&first)), Ok(()));
    assert_eq!(third.continues(&head(&fork)), Err(ListError::NotNext), "it names the other second version");
    assert_eq!(third.continues(&head(&first)), Err(ListError::NotNext), "a version is missing");
    assert_eq!(first.continues(&head(&second)), Err(ListError::NotNext));
    assert_eq!(head(&second).compare(&head(&second)), ListOrder::Same);
    assert_eq!(head(&second).compare(&head(&third)), ListOrder::Newer);
    assert_eq!(head(&second).compare(&head(&first)), ListOrder::Older);
    assert_eq!(head(&second).compare(&head(&fork)), ListOrder::Forked);
}

#[test]
fn a_list_of_one_account_has_another_head_under_another() {
    let list = DeviceList::first(&account(), device(1));
    assert_ne!(list.head(&[1; 32]), list.head(&[2; 32]));
}

#[test]
fn an_identity_is_stored_and_checked_when_read() {
    let identity = Identity::generate(&mut rng(3));
    assert_eq!(identity.list().devices().len(), 1);
    let stored = serde_json::to_value(&identity).expect("it encodes");
    let restored: Identity = serde_json::from_value(stored.clone()).expect("it decodes");
    assert_eq!(restored.public(), identity.public());
    assert_eq!(restored.list_head(), identity.list_head());
    for field in ["account", "signing", "agreement", "cert"] {
        let mut damaged = stored.clone();
        let byte = damaged[field][5].as_u64().expect("a byte");
        damaged[field][5] = (byte ^ 1).into();
        assert!(serde_json::from_value::<Identity>(damaged).is_err(), "{field} does not fit the rest");
    }
}

#[test]
fn a_certificate_is_of_one_device_and_one_list() {
    let identity = Identity::generate(&mut rng(4));
    let (public, list, cert) = (identity.public(), identity.list_head(), identity.cert());
    assert!(is_certified(&public, &list, cert));
    let other = Identity::generate(&mut rng(5)).public();
    for device in [
        DevicePublic { account: other.account, ..public },
        DevicePublic { signing: other.signing, ..public },
        DevicePublic { agreement: other.agreement, ..public },
    ] {
        assert!(!is_certified(&device, &list, cert));
    }
    assert!(!is_certified(&public, &ListHead { version: 2, ..list }, cert));
    assert!(!is_certified(&public, &ListHead { head: [0; 32], ..list }, cert));
}

#[test]
fn nothing_that_identifies_is_printed() {
    let identity = Identity::generate(&mut rng(6));
    assert_eq!(format!("{:?}", identity.public()), "DevicePublic { .. }");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_list_or_not(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..700)) {
        fuzz_device_list(&bytes);
    }
}

#[test]
fn a_certificate_over_a_version_that_no_list_has_does_not_hold() {
    let account = account();
    let device = DevicePublic { account: account.public(), signing: [1; 32], agreement: [2; 32] };
    let holds = |version| {
        let list = ListHead { version, head: [3; 32] };
        is_certified(&device, &list, &account::certify(&account, &device, &list))
    };
    assert!(holds(1) && holds(u32::MAX));
    assert!(!holds(0));
}
