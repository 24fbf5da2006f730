//! What a picture file says beside the picture: where it was made and when, by which camera, in which program. None of
//! that is to travel, so only what is needed to show the picture stays.
//!
//! Formats: JPEG (ITU-T T.81, Annex B; Exif 2.32 for the orientation), PNG (W3C, 11.2 and 11.3), WebP (RFC 9649). A picture
//! that is twisted, or of a kind that says such things and is not understood here (HEIC, AVIF, TIFF), is told from what
//! is no picture: nobody can know what it says.

/// Marker of a start of image, of its end, of a scan.
const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
/// Application segments that say how colours are meant, and how each begins: JFIF, colour profiles, Adobe's transform.
const JPEG_KEPT: [(u8, &[u8]); 3] = [(0xE0, b"JFIF\0"), (0xE2, b"ICC_PROFILE\0"), (0xEE, b"Adobe")];
const EXIF_NAME: &[u8] = b"Exif\0\0";
const ORIENTATION: u16 = 0x0112;
/// Chunks without which a PNG would look otherwise, moving ones included.
const PNG_KEPT: [&[u8; 4]; 15] = [
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"pHYs", b"bKGD",
    b"acTL", b"fcTL", b"fdAT",
];
const PNG_MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";
const WEBP_KEPT: [&[u8; 4]; 7] = [b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"ANIM", b"ANMF"];
/// Flags of a VP8X chunk that announce Exif and XMP.
const WEBP_NOTES: u8 = 0b0000_1100;

/// What a file is, as far as it may tell of more than itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cleaned {
    /// No picture.
    Other,
    /// A picture without what it says beside the picture.
    Picture(Vec<u8>),
    /// A picture that cannot be taken apart.
    Stuck,
}

/// A picture file without what it says beside the picture.
pub(crate) fn clean(bytes: &[u8]) -> Cleaned {
    let clean = match bytes {
        [0xFF, SOI, 0xFF, ..] => jpeg(bytes),
        _ if bytes.starts_with(PNG_MAGIC) => png(bytes),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp(bytes),
        // TIFF, and raw pictures that are made like it.
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => None,
        // ISO/IEC 14496-12: films begin so as well, with other brands.
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] if is_still(brand) => None,
        _ => return Cleaned::Other,
    };
    clean.map_or(Cleaned::Stuck, Cleaned::Picture)
}

/// HEIC and AVIF (ISO/IEC 23008-12).
fn is_still(brand: &[u8]) -> bool {
    [b"hei", b"hev", b"avi", b"mif", b"msf"].iter().any(|name| brand.starts_with(*name))
}

/// A marker and its segment, the length included; segments of a scan have its data behind them.
fn jpeg(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut clean = vec![0xFF, SOI];
    let mut rest = bytes.get(2..)?;
    loop {
        let ([0xFF, marker], after) = rest.split_first_chunk::<2>()? else { return None };
        match *marker {
            // Any number of these may stand before a marker.
            0xFF => {
                rest = rest.get(1..)?;
                continue;
            }
            // What comes behind the end belongs to no picture, or to another one.
            EOI => {
                clean.extend([0xFF, EOI]);
                return Some(clean);
            }
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes(*after.first_chunk()?));
        let (segment, after) = (after.get(..length)?, after.get(length..)?);
        let contents = segment.get(2..)?;
        match *marker {
            0xE1 => {
                if let Some(turned) = contents.strip_prefix(EXIF_NAME).and_then(orientation) {
                    clean.extend(only_orientation(turned));
                }
            }
            0xE0..=0xEF if !JPEG_KEPT.iter().any(|(kept, name)| kept == marker && contents.starts_with(name)) => {}
            0xFE => {}
            _ => {
                clean.extend([0xFF, *marker]);
                clean.extend(segment);
            }
        }
        let data = if *marker == SOS { scan_bytes(after) } else { Some(0) };
        let Some(data) = data else {
            // Its end was cut off, as some cameras do: viewers show it all the same.
            clean.extend(after);
            clean.extend([0xFF, EOI]);
            return Some(clean);
        };
        clean.extend(after.get(..data)?);
        rest = after.get(data..)?;
    }
}

/// Bytes up to the next marker that is no part of a scan's data.
fn scan_bytes(data: &[u8]) -> Option<usize> {
    data.windows(2).position(|two| two[0] == 0xFF && !matches!(two[1], 0 | 0xD0..=0xD7 | 0xFF))
}

/// How the picture is to be turned, 2 to 8; `None` if not at all, or it is not said.
fn orientation(tiff: &[u8]) -> Option<u16> {
    let little = tiff.starts_with(b"II");
    let short = |at: usize| {
        let two = *tiff.get(at..)?.first_chunk()?;
        Some(if little { u16::from_le_bytes(two) } else { u16::from_be_bytes(two) })
    };
    let long = |at: usize| {
        let four = *tiff.get(at..)?.first_chunk()?;
        Some(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) })
    };
    let directory = usize::try_from(long(4)?).ok()?;
    let entries = usize::from(short(directory)?);
    let entry = |number: usize| directory.checked_add(2)?.checked_add(number.checked_mul(12)?);
    let found = (0..entries).find_map(|number| {
        let at = entry(number)?;
        (short(at)? == ORIENTATION).then(|| short(at.checked_add(8)?))
    });
    found?.filter(|turned| (2..=8).contains(turned))
}

/// An Exif segment that says nothing else.
fn only_orientation(turned: u16) -> Vec<u8> {
    let mut tiff = b"MM\0\x2A\0\0\0\x08\0\x01".to_vec();
    tiff.extend(ORIENTATION.to_be_bytes());
    tiff.extend([0, 3, 0, 0, 0, 1]);
    tiff.extend(turned.to_be_bytes());
    tiff.extend([0; 6]);
    let length = (2 + EXIF_NAME.len() + tiff.len()) as u16;
    [&[0xFF, 0xE1], length.to_be_bytes().as_slice(), EXIF_NAME, &tiff].concat()
}

fn png(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut clean = PNG_MAGIC.to_vec();
    let mut rest = bytes.strip_prefix(PNG_MAGIC)?;
    loop {
        let length = usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?;
        let (chunk, after) = rest.split_at_checked(length.checked_add(12)?)?;
        let name: &[u8; 4] = chunk.get(4..)?.first_chunk()?;
        if PNG_KEPT.contains(&name) {
            clean.extend(chunk);
        }
        if name == b"IEND" {
            return Some(clean);
        }
        rest = after;
    }
}

fn webp(bytes: &[u8]) -> Option<Vec<u8>> {
    let announced = usize::try_from(u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?)).ok()?;
    let mut rest = bytes.get(12..announced.checked_add(8)?)?;
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let name: &[u8; 4] = rest.first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*rest.get(4..)?.first_chunk()?)).ok()?;
        // Of an odd length it has a byte behind it; some writers forget that of the last one.
        let end = length.checked_add(8)?;
        let padded = end.checked_add(length % 2)?.min(rest.len().max(end));
        let (chunk, after) = rest.split_at_checked(padded)?;
        if WEBP_KEPT.contains(&name) {
            let first = chunks.len();
            chunks.extend(chunk);
            if name == b"VP8X" {
                *chunks.get_mut(first + 8)? &= !WEBP_NOTES;
            }
        }
        rest = after;
    }
    let length = u32::try_from(chunks.len().checked_add(4)?).ok()?;
    Some([b"RIFF".as_slice(), &length.to_le_bytes(), b"WEBP", &chunks].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PHOTO: &[u8] = include_bytes!("photo.jpg");

    fn exif(turned: u16, little: bool) -> Vec<u8> {
        let short = |value: u16| if little { value.to_le_bytes() } else { value.to_be_bytes() };
        let long = |value: u32| if little { value.to_le_bytes() } else { value.to_be_bytes() };
        let mut tiff = if little { b"II".to_vec() } else { b"MM".to_vec() };
        tiff.extend(short(42));
        tiff.extend(long(8));
        tiff.extend(short(2));
        // A maker's name, then the orientation.
        for (tag, value) in [(0x010F, 0x4142), (ORIENTATION, turned)] {
            tiff.extend(short(tag));
            tiff.extend(short(3));
            tiff.extend(long(1));
            tiff.extend(short(value));
            tiff.extend(short(0));
        }
        tiff.extend(b"GPS 52.5200 N 13.4050 E");
        let contents = [EXIF_NAME, &tiff].concat();
        [&[0xFF, 0xE1], (contents.len() as u16 + 2).to_be_bytes().as_slice(), &contents].concat()
    }

    fn has(bytes: &[u8], what: &[u8]) -> bool {
        bytes.windows(what.len()).any(|part| part == what)
    }

    #[test]
    fn a_photo_loses_its_notes_and_stays_the_same_picture() {
        let comment = [&[0xFF, 0xFE, 0, 8], b"secret".as_slice()].concat();
        for (turned, little) in [(1, true), (6, true), (8, false)] {
            let mut noted = PHOTO[..2].to_vec();
            noted.extend(exif(turned, little));
            noted.extend(&comment);
            noted.extend(&PHOTO[2..]);
            noted.extend(b"another picture, with GPS");
            let Cleaned::Picture(clean) = clean(&noted) else { panic!() };
            for note in [b"GPS".as_slice(), b"secret", b"another"] {
                assert!(has(&noted, note) && !has(&clean, note));
            }
            assert_eq!(has(&clean, EXIF_NAME), turned > 1);
            let decode = |bytes: &[u8]| crate::picture::jpeg(bytes).map(|picture| picture.grey).unwrap();
            assert!(decode(&clean) == decode(PHOTO));
            let at = clean.windows(6).position(|part| part == EXIF_NAME).map(|at| at + 6);
            assert_eq!(at.and_then(|at| orientation(&clean[at..])), (turned > 1).then_some(turned));
            assert_eq!(super::clean(&clean), Cleaned::Picture(clean), "once is enough");
        }
    }

    #[test]
    fn png_and_webp_keep_what_shows_and_lose_what_tells() {
        let chunk = |name: &[u8; 4], data: &[u8]| {
            [(data.len() as u32).to_be_bytes().as_slice(), name, data, &[1, 2, 3, 4]].concat()
        };
        let shown = [PNG_MAGIC, &chunk(b"IHDR", &[0; 13]), &chunk(b"IDAT", b"x"), &chunk(b"IEND", b"")].concat();
        let notes = [chunk(b"tEXt", b"Author"), chunk(b"eXIf", b"GPS"), chunk(b"zzZz", b"odd")].concat();
        let at = PNG_MAGIC.len() + 25;
        let noted = [&shown[..at], &notes, &shown[at..], b"behind the end"].concat();
        assert_eq!(clean(&noted), Cleaned::Picture(shown));
        assert_eq!(clean(&noted[..at + 3]), Cleaned::Stuck, "cut");

        let chunk = |name: &[u8; 4], data: &[u8]| {
            let padding = vec![0; data.len() % 2];
            [name.as_slice(), &(data.len() as u32).to_le_bytes(), data, &padding].concat()
        };
        let riff =
            |chunks: &[u8]| [b"RIFF".as_slice(), &(chunks.len() as u32 + 4).to_le_bytes(), b"WEBP", chunks].concat();
        let head = |flags: u8| chunk(b"VP8X", &[flags, 0, 0, 0, 1, 0, 0, 1, 0, 0]);
        let noted = [head(0b0001_1100), chunk(b"VP8 ", b"abc"), chunk(b"EXIF", b"GPS"), chunk(b"XMP ", b"me")].concat();
        let shown = [head(0b0001_0000), chunk(b"VP8 ", b"abc")].concat();
        assert_eq!(clean(&riff(&noted)), Cleaned::Picture(riff(&shown)));
    }

    #[test]
    fn what_is_no_picture_stays_and_what_cannot_be_taken_apart_is_told() {
        for other in [b"".as_slice(), b"GIF89a", b"%PDF", b"\0\0\0\x18ftypmp42", &[0xFF, SOI]] {
            assert_eq!(clean(other), Cleaned::Other);
        }
        let heic = b"\0\0\0\x18ftypheic";
        for stuck in [heic.as_slice(), b"\0\0\0\x18ftypavif", b"II*\0", PNG_MAGIC, &[0xFF, SOI, 0xFF, 0xE1, 0, 1]] {
            assert_eq!(clean(stuck), Cleaned::Stuck);
        }
    }

    #[test]
    fn a_thumbnail_goes_and_a_photo_without_its_end_is_cleaned_all_the_same() {
        let thumbnail = [&[0xFF, 0xE0, 0, 12], b"JFXX\0thumb".as_slice()].concat();
        let cut = &PHOTO[..PHOTO.len() - 2];
        let noted = [&cut[..2], &thumbnail, &exif(6, true), &cut[2..]].concat();
        let Cleaned::Picture(clean) = clean(&noted) else { panic!() };
        assert!(!has(&clean, b"thumb") && !has(&clean, b"GPS") && clean.ends_with(&[0xFF, EOI]));
        assert!(crate::picture::jpeg(&clean).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm_and_nothing_grows(mut bytes: Vec<u8>, magic in 0usize..4, cut: u16, flip: u16) {
            let magics: [&[u8]; 3] = [b"\xff\xd8", PNG_MAGIC, b"RIFF\x20\0\0\0WEBP"];
            if let Some(magic) = magics.get(magic) {
                bytes.splice(0..0, magic.iter().copied());
            } else {
                bytes = PHOTO[..PHOTO.len().min(usize::from(cut))].to_vec();
                let at = usize::from(flip) % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at) { *byte ^= 1 << (flip % 8); }
            }
            if let Cleaned::Picture(clean) = clean(&bytes) {
                // An orientation may have stood there without the end of its directory.
                prop_assert!(clean.len() <= bytes.len() + bytes.len() / 8 + 8);
            }
        }
    }
}
