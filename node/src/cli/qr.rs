//! A link as a QR code of half blocks: upper case (the alphanumeric mode, a third smaller), error correction M,
//! quiet zone included. An invite of 296 bytes is 77 columns by 39 rows. SPEC: product, decision 1.

use std::io::IsTerminal as _;

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::failure::Failure;
use super::terminal::Terminal;

/// Prints `link` as a QR code, if the terminal is wide enough for it.
///
/// # Errors
/// The link is too long for a code, or the result cannot be written.
pub(crate) fn print(terminal: &Terminal, link: &str) -> Result<(), Failure> {
    let image = render(link)?;
    let columns = image.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    if let Some(room) = terminal_columns()
        && room < columns
    {
        terminal.note(&format!(
            "The QR code needs {columns} columns; this terminal has {room}. Widen it, or use the link."
        ));
        return Ok(());
    }
    for line in image.lines() {
        terminal.line(&terminal.paper(line))?;
    }
    Ok(())
}

/// Light modules are drawn and dark ones left out: right on a dark terminal, and made right on any by
/// [`Terminal::paper`].
fn render(link: &str) -> Result<String, Failure> {
    let code = QrCode::with_error_correction_level(link.to_ascii_uppercase(), EcLevel::M)
        .map_err(|error| Failure::unexpected(format!("No QR code of this link: {error}")))?;
    Ok(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).quiet_zone(true).build())
}

fn terminal_columns() -> Option<usize> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_invite_fits_an_80_column_terminal() {
        let base32_chars = (296 * 8_usize).div_ceil(5);
        let image = render(&format!("starling:{}", "a".repeat(base32_chars))).unwrap();
        assert_eq!(image.lines().count(), 39);
        assert!(image.lines().all(|line| line.chars().count() == 77));
    }
}
