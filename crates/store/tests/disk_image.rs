//! What a thief reads from the raw disk: an ext4 image, mounted, used, unmounted, searched byte by byte.
//! After forgetting, the state key under which the old sessions and texts were sealed is nowhere in it.

use std::env;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use starling_messenger::record::{RecordKind, VaultKey, VaultWrite};
use starling_store::seal_at_rest::{KeyFile, MasterKey};
use starling_store::vault::{VAULT_DIRECTORY, Vault};
use zeroize::Zeroizing;

const MOUNT_VARIABLE: &str = "STARLING_STORE_DISK_IMAGE";
/// With less free room than a message needs, nothing is written anew.
const IMAGE_BYTES: u64 = 96 << 20;
const SLOT_BYTES: usize = 4_096;
const SESSION_KEY: [u8; 32] = *b"\x91session key, 32 bytes, plain\x92\x93\x94";
const TEXT: &[u8] = b"the text that was deleted";
const MARKER: &[u8] = b"a marker that was planted and deleted";

fn run_in_namespace(image: &Path, mount: &Path, stage: &str, output: &Path) {
    let namespace = if rustix::process::getuid().is_root() { "-m" } else { "-rm" };
    let script =
        "mount -o loop \"$0\" \"$1\" && mount=$1 && shift && \"$@\" && sync -f \"$mount\" && umount \"$mount\"";
    let ran = Command::new("unshare")
        .args([namespace, "sh", "-c", script])
        .args([image, mount])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "no_old_key_is_left_in_the_image_of_the_disk", "--ignored", "--nocapture"])
        .env(MOUNT_VARIABLE, mount)
        .env("STAGE", stage)
        .env("SLOT", output)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains(&format!("did {stage}")), "{said}");
}

fn put(key: VaultKey, value: &[u8]) -> VaultWrite {
    VaultWrite::Put { key, value: Zeroizing::new(value.to_vec()) }
}

/// The sealed state key in the file's slot in use: with it and the master key every old copy opens.
fn sealed_key(directory: &Path) -> Vec<u8> {
    let bytes = fs::read(directory.join(VAULT_DIRECTORY).join("state.key")).unwrap();
    let slot = bytes.chunks(SLOT_BYTES).find(|slot| slot.iter().any(|byte| *byte != 0)).unwrap();
    slot[24..84].to_vec()
}

fn write_vault(directory: &Path, master: &MasterKey) {
    let (vault, _) = Vault::open(directory, master).unwrap();
    let outbox = VaultKey::ordered(RecordKind::Outbox, Vec::new(), 1);
    let session = VaultKey::named(RecordKind::Session, "Ana");
    let message = VaultKey::ordered(RecordKind::History, b"Ana".as_slice(), 1);
    let all = [put(session.clone(), &SESSION_KEY), put(outbox.clone(), TEXT), put(message.clone(), TEXT)];
    vault.commit(&all, Vec::new()).unwrap();
    let delete = |key| VaultWrite::Delete { key };
    vault.commit(&[delete(outbox), delete(session), delete(message)], Vec::new()).unwrap();
    let marker = directory.join("marker");
    fs::write(&marker, MARKER).unwrap();
    File::open(&marker).unwrap().sync_all().unwrap();
    fs::remove_file(marker).unwrap();
}

fn forget(directory: &Path, master: &MasterKey) {
    let (vault, _) = Vault::open(directory, master).unwrap();
    vault.finish_forgetting(1).unwrap();
}

fn stage(directory: &Path) {
    let directory = directory.join("data");
    let name = env::var("STAGE").unwrap();
    match name.as_str() {
        "write" => {
            fs::create_dir(&directory).unwrap();
            let master = KeyFile::of(&directory).create(&mut ChaCha20Rng::seed_from_u64(1)).unwrap();
            write_vault(&directory, &master);
        }
        _ => forget(&directory, &KeyFile::of(&directory).open_keyfile().unwrap()),
    }
    fs::write(env::var_os("SLOT").unwrap(), sealed_key(&directory)).unwrap();
    println!("did {name}");
}

fn holds(image: &[u8], needle: &[u8]) -> bool {
    image.windows(needle.len()).any(|part| part == needle)
}

#[test]
#[ignore = "needs to mount an ext4 image through a loop device (root); run by .ci/root-stages"]
fn no_old_key_is_left_in_the_image_of_the_disk() {
    if let Some(directory) = env::var_os(MOUNT_VARIABLE) {
        return stage(Path::new(&directory));
    }
    let scratch = tempfile::tempdir().unwrap();
    let [image, mount, slot] = ["image", "mount", "slot"].map(|name| scratch.path().join(name));
    fs::create_dir(&mount).unwrap();
    File::create(&image).unwrap().set_len(IMAGE_BYTES).unwrap();
    assert!(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status().unwrap().success());

    run_in_namespace(&image, &mount, "write", &slot);
    let old_key = fs::read(&slot).unwrap();
    let before = fs::read(&image).unwrap();
    assert!(holds(&before, MARKER), "a deleted file's bytes are found: the search sees free blocks too");
    assert!(holds(&before, &old_key), "and it finds the key while it is there");

    run_in_namespace(&image, &mount, "forget", &slot);
    let after = fs::read(&image).unwrap();
    assert!(holds(&after, MARKER));
    assert!(holds(&after, &fs::read(&slot).unwrap()), "the new key is where the old one was");
    for (what, needle) in [("the old state key", old_key.as_slice()), ("a session key", &SESSION_KEY), ("a text", TEXT)]
    {
        assert!(!holds(&after, needle), "{what} is left in the image");
    }
}
