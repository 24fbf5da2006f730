//! What two people compare, and the mark that they did. SPEC: product 4 and 5; `crates/e2ee/SPEC.md` B18.

use std::sync::Arc;

use axum::extract::State;
use starling_api::people::{Scan, Verification, Verify};
use starling_api::{ApiError, Code, Time};
use starling_e2ee::verification::{CodeError, Comparison, VerificationCode, safety_number, safety_words};
use starling_messenger::turn::{Command, CommandError, ContactNumber, Reply};
use starling_messenger::view::ContactView;

use super::people::all_contacts;
use crate::picture;
use crate::server::answer::{Answer, Fault, Json, PathId, ok};
use crate::server::app::App;
use crate::server::fault;

pub(crate) async fn verification(State(app): State<Arc<App>>, PathId(id): PathId<'p'>) -> Answer {
    let number = ContactNumber(id.0);
    let contact = all_contacts(&app).await?.into_iter().find(|contact| contact.number == number);
    let contact = contact.ok_or_else(|| fault::command(&CommandError::NoSuchContact))?;
    ok(describe(own_account(&app).await?, contact, None).await?)
}

pub(crate) async fn verify(State(app): State<Arc<App>>, PathId(id): PathId<'p'>, Json(verify): Json<Verify>) -> Answer {
    let number = ContactNumber(id.0);
    let own = own_account(&app).await?;
    match (verify.verified, verify.code) {
        (Some(verified), None) => ok(describe(own, mark(&app, number, verified).await?, None).await?),
        (None, Some(text)) => {
            let code = VerificationCode::parse(&text).map_err(unread)?;
            let contacts = all_contacts(&app).await?;
            let contact = contacts.iter().find(|contact| contact.number == number);
            let contact = contact.ok_or_else(|| fault::command(&CommandError::NoSuchContact))?;
            let is_contact = |account: &[u8; 32]| contacts.iter().any(|contact| contact.account == *account);
            let (contact, scan) = match code.compare(&own, &contact.account, is_contact) {
                Comparison::Match => (mark(&app, number, true).await?, Scan::Match),
                Comparison::Differs => (contact.clone(), Scan::Differs),
                Comparison::OtherContact => (contact.clone(), Scan::OtherContact),
                Comparison::Own => (contact.clone(), Scan::Own),
            };
            ok(describe(own, contact, Some(scan)).await?)
        }
        (Some(_), Some(_)) | (None, None) => {
            Err(fault::bad_field("verified", "Give either 'verified' or 'code'.").into())
        }
    }
}

async fn own_account(app: &App) -> Result<[u8; 32], Fault> {
    match app.ask(Command::Address { peers: Vec::new() }).await? {
        Reply::Address(view) => Ok(view.account),
        _ => Err(fault::internal("the own account").into()),
    }
}

async fn mark(app: &App, contact: ContactNumber, verified: bool) -> Result<ContactView, Fault> {
    match app.ask(Command::SetVerified { contact, verified }).await? {
        Reply::Contact(view) => Ok(view),
        _ => Err(fault::internal("a verified mark").into()),
    }
}

/// Off the server's threads: the words take 0.1 s.
async fn describe(own: [u8; 32], contact: ContactView, scan: Option<Scan>) -> Result<Verification, Fault> {
    let made = tokio::task::spawn_blocking(move || {
        let theirs = contact.account;
        let code = VerificationCode { maker: own, about: theirs }.to_text();
        Some(Verification {
            number: safety_number(&own, &theirs).to_vec(),
            words: safety_words(&own, &theirs).map(str::to_owned).to_vec(),
            qr_svg: picture::qr_svg(&code)?,
            code,
            verified_at: contact.verified_unix_ms.map(Time),
            scan,
        })
    });
    made.await.ok().flatten().ok_or_else(|| fault::internal("a safety number").into())
}

fn unread(error: CodeError) -> ApiError {
    let (code, message) = match error {
        CodeError::NotACode => (Code::BadRequest, "This is no verification code.".to_owned()),
        CodeError::Damaged => (Code::BadRequest, "The verification code is damaged. Scan it again.".to_owned()),
        CodeError::NewerVersion { version } => {
            (Code::VersionTooNew, format!("The verification code is of version {version}; this node knows 1."))
        }
    };
    ApiError::new(code, message).field("code")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_code_says_what_is_wrong() {
        assert_eq!(unread(CodeError::NotACode).code, Code::BadRequest);
        assert_eq!(unread(CodeError::Damaged).field.as_deref(), Some("code"));
        assert_eq!(unread(CodeError::NewerVersion { version: 2 }).code, Code::VersionTooNew);
    }
}
