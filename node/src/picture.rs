//! Pictures: QR codes in them, and what they say that is not to travel ([`clean()`]).
//!
//! A code is read out of a PNG or JPEG, as a phone, a screen shot or the page's camera gives it. The picture may come
//! from another person, so its size is bounded before anything is unpacked.

mod clean;

use std::io::Cursor;

use png::{ColorType, Limits, Transformations};
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use rqrr::PreparedImage;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

pub(crate) use clean::{Cleaned, clean};

/// Bytes of a picture file.
pub(crate) const FILE_BYTES_MAX: u64 = 16 << 20;
/// Pixels of a side.
const SIDE_MAX: usize = 8_192;
/// Pixels in all: what a telephone's camera makes.
const PIXELS_MAX: usize = 25_000_000;
/// Codes that are looked at in one picture.
const CODES_MAX: usize = 16;

/// A picture in shades of grey, row by row.
struct Picture {
    width: usize,
    height: usize,
    grey: Vec<u8>,
}

/// Pixels of a drawn code's side, at the least.
const SVG_SIDE: u32 = 240;

/// `text` as a QR code, in SVG; nothing when it is too long for one.
pub(crate) fn qr_svg(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    Some(code.render::<svg::Color<'_>>().min_dimensions(SVG_SIDE, SVG_SIDE).build())
}

/// The texts of all QR codes in a picture file; none when no code could be read.
///
/// # Errors
/// In words: it is no such picture, or too large.
pub(crate) fn codes(bytes: &[u8]) -> Result<Vec<String>, String> {
    let picture = match bytes {
        [0x89, b'P', b'N', b'G', ..] => png(bytes),
        [0xff, 0xd8, 0xff, ..] => jpeg(bytes),
        _ => Err("it is neither a PNG nor a JPEG picture".to_owned()),
    }?;
    let texts = picture.codes(false);
    Ok(if texts.is_empty() { picture.codes(true) } else { texts })
}

fn check_size(width: usize, height: usize) -> Result<(), String> {
    if width > SIDE_MAX || height > SIDE_MAX || width.saturating_mul(height) > PIXELS_MAX {
        return Err(format!("it has {width} x {height} pixels, which is too large"));
    }
    Ok(())
}

fn png(bytes: &[u8]) -> Result<Picture, String> {
    let words = |error: png::DecodingError| error.to_string();
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: 4 * PIXELS_MAX });
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(words)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    check_size(width, height)?;
    let size = reader.output_buffer_size().ok_or("it is too large")?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(words)?;
    let samples = match frame.color_type {
        ColorType::Grayscale => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb => 3,
        ColorType::Rgba => 4,
        ColorType::Indexed => return Err("its colours are not understood".to_owned()),
    };
    let rows = pixels.chunks(frame.line_size.max(1)).take(height);
    let grey = rows.flat_map(|row| row.chunks_exact(samples).take(width).map(grey)).collect();
    Picture { width, height, grey }.checked()
}

/// One pixel on white paper.
fn grey(pixel: &[u8]) -> u8 {
    let (light, alpha) = match *pixel {
        [grey] => (u32::from(grey), 255),
        [grey, alpha] => (u32::from(grey), u32::from(alpha)),
        [red, green, blue] => (luma(red, green, blue), 255),
        [red, green, blue, alpha] => (luma(red, green, blue), u32::from(alpha)),
        _ => (255, 255),
    };
    u8::try_from((light * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX)
}

/// ITU-R BT.601.
fn luma(red: u8, green: u8, blue: u8) -> u32 {
    (299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue)) / 1_000
}

fn jpeg(bytes: &[u8]) -> Result<Picture, String> {
    let options = DecoderOptions::default()
        .set_max_width(SIDE_MAX)
        .set_max_height(SIDE_MAX)
        .jpeg_set_out_colorspace(ColorSpace::Luma);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let info = decoder.info().ok_or("it says no size")?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    check_size(width, height)?;
    let grey = decoder.decode().map_err(|error| error.to_string())?;
    Picture { width, height, grey }.checked()
}

impl Picture {
    fn checked(self) -> Result<Self, String> {
        let whole = self.width > 0 && self.height > 0 && self.grey.len() == self.width * self.height;
        if whole { Ok(self) } else { Err("a part of it is missing".to_owned()) }
    }

    /// The codes; `inverted`: light ones on dark paper.
    fn codes(&self, inverted: bool) -> Vec<String> {
        let at = |x: usize, y: usize| {
            let grey = self.grey.get(y * self.width + x).copied().unwrap_or(u8::MAX);
            if inverted { u8::MAX - grey } else { grey }
        };
        let mut image = PreparedImage::prepare_from_greyscale(self.width, self.height, at);
        let grids = image.detect_grids().into_iter().take(CODES_MAX);
        grids.filter_map(|grid| grid.decode().ok()).map(|(_, text)| text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code of the vector `verification-code-001`, turned by seven degrees, on brown paper, as a JPEG in colours.
    #[test]
    fn a_photograph_is_read() {
        let vectors = std::fs::read_to_string("../tests/vectors/e2ee/verification_code.json").unwrap();
        let vectors: serde_json::Value = serde_json::from_str(&vectors).unwrap();
        let picture = jpeg(include_bytes!("picture/photo.jpg")).unwrap();
        assert_eq!(picture.codes(false), [vectors["cases"][0]["input"]["text"].as_str().unwrap()]);
    }

    #[test]
    fn transparent_pixels_are_paper() {
        assert_eq!([grey(&[0]), grey(&[0, 0]), grey(&[0, 0, 0, 255]), grey(&[255, 255, 255])], [0, 255, 0, 255]);
        assert_eq!(grey(&[0, 0, 0, 0]), 255);
    }

    #[test]
    fn pictures_too_large_or_cut_off_are_refused() {
        assert!(check_size(SIDE_MAX, 1).is_ok());
        assert!(check_size(SIDE_MAX + 1, 1).is_err() && check_size(SIDE_MAX, SIDE_MAX).is_err());
        assert!(png(b"\x89PNG\r\n\x1a\n").is_err());
        assert!(jpeg(&[0xff, 0xd8, 0xff]).is_err());
        // A header alone, of a picture with 60,000 x 60,000 pixels.
        let header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\x08\0\0\0\0";
        assert!(png(header).is_err());
    }
}
