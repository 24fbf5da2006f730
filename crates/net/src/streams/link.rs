//! `link/1`: the dialer sends Hold, the acceptor answers Ok, Full or Refused; after Ok both keep the
//! stream open for as long as they hold the link, and nothing more is said. SPEC: B14, B15.
//!
//! A descriptor of another node must carry a signature that holds, or whoever passed it on is at fault;
//! one that is merely too old or too far ahead is dropped, since clocks differ. The peer's own descriptor
//! is vouched for by the connection: it must name the connection's key and its signature must hold, but
//! its age is not asked, so that a node with a wrong clock still links and can be told.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::Stream;
use libp2p::swarm::ConnectionId;
use starling_wire::descriptor::{DescriptorError, NodeDescriptor, VerifiedDescriptor};
use starling_wire::frame::FrameError;
use starling_wire::link_frame::{LinkFrame, LinkFrameReader, RefusalReason};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;

use crate::address::NodeKey;

/// Time for one whole frame to come.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for our frame to be taken.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time to close a stream in good order.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes read at once.
const READ_BYTES: usize = 4_096;

/// What a peer says of itself in Hold or Ok, signatures checked.
#[derive(Debug)]
pub(crate) struct Hello {
    /// Its clock, ms since 1970.
    pub(crate) unix_ms: u64,
    /// Its own descriptor.
    pub(crate) descriptor: NodeDescriptor,
    /// Members that it knows.
    pub(crate) others: Vec<VerifiedDescriptor>,
}

/// How our Hold was answered.
#[derive(Debug)]
pub(crate) enum LinkAnswer {
    /// The link is held; the stream stays open until the canceller is dropped.
    Held(Hello),
    /// No room there.
    Full(Vec<VerifiedDescriptor>),
    /// The peer does not want this link.
    Refused(RefusalReason),
    /// The answer broke the protocol.
    Fault,
    /// No answer.
    Broken,
}

/// What a peer asked with its Hold.
#[derive(Debug)]
pub(crate) enum Asked {
    /// A link, and its parameters are ours.
    Hold(Hello),
    /// Its parameters are not ours.
    WrongParameters,
    /// It speaks another version.
    WrongVersion,
    /// It broke the protocol.
    Fault,
}

/// The frame to answer a Hold with.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Ok, Full or Refused, encoded.
    pub(crate) frame: Vec<u8>,
    /// After Ok: keep the stream until this resolves.
    pub(crate) keep: Option<oneshot::Receiver<()>>,
}

/// What the tasks of link streams tell the swarm's task.
#[derive(Debug)]
pub(crate) enum LinkStream {
    /// A peer asks for a link; no answer closes the stream.
    Asked { peer: NodeKey, connection: ConnectionId, serial: u64, asked: Asked, reply: oneshot::Sender<Reply> },
    /// A peer answered our Hold.
    Answered { peer: NodeKey, connection: ConnectionId, serial: u64, answer: LinkAnswer },
    /// A held stream ended.
    Ended { peer: NodeKey, serial: u64 },
}

/// Everything that the task of one link stream needs to know.
#[derive(Debug)]
pub(crate) struct Context {
    /// The connection's peer.
    pub(crate) peer: NodeKey,
    /// The connection.
    pub(crate) connection: ConnectionId,
    /// Number of this stream.
    pub(crate) serial: u64,
    /// Our parameters' hash.
    pub(crate) parameters_hash: [u8; 32],
    /// Our clock, seconds since 1970, when the stream was opened.
    pub(crate) now_unix_s: u64,
    /// To the swarm's task.
    pub(crate) events: mpsc::Sender<LinkStream>,
}

/// Sends our Hold, tells the answer, and keeps the stream while the link is held.
pub(crate) async fn open_link(context: Context, mut stream: Stream, hold: Vec<u8>, keep: oneshot::Receiver<()>) {
    let answer = match write(&mut stream, &hold).await {
        Ok(()) => read_answer(&mut stream, &context).await,
        Err(()) => LinkAnswer::Broken,
    };
    let held = matches!(answer, LinkAnswer::Held(_));
    let Context { peer, connection, serial, events, .. } = context;
    let told = events.send(LinkStream::Answered { peer, connection, serial, answer }).await;
    if held && told.is_ok() {
        hold_until_end(&mut stream, keep).await;
        let _ = events.send(LinkStream::Ended { peer, serial }).await;
    }
    let _ = timeout(CLOSE_TIMEOUT, stream.close()).await;
}

/// Reads a peer's Hold, sends the reply that the swarm's task gives, and keeps the stream while the link is
/// held. `place` is the stream's place among those that are not held yet.
pub(crate) async fn answer_link(context: Context, mut stream: Stream, place: OwnedSemaphorePermit) {
    let Some(asked) = read_hold(&mut stream, &context).await else { return };
    let (reply, replied) = oneshot::channel();
    let Context { peer, connection, serial, events, .. } = context;
    if events.send(LinkStream::Asked { peer, connection, serial, asked, reply }).await.is_err() {
        return;
    }
    let Ok(Reply { frame, keep }) = replied.await else { return };
    drop(place);
    let written = write(&mut stream, &frame).await;
    if let Some(keep) = keep {
        if written.is_ok() {
            hold_until_end(&mut stream, keep).await;
        }
        let _ = events.send(LinkStream::Ended { peer, serial }).await;
    }
    let _ = timeout(CLOSE_TIMEOUT, stream.close()).await;
}

async fn write(stream: &mut Stream, frame: &[u8]) -> Result<(), ()> {
    let written = async {
        stream.write_all(frame).await?;
        stream.flush().await
    };
    match timeout(WRITE_TIMEOUT, written).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(()),
    }
}

/// A held stream carries nothing: it ends when the peer closes it, says anything, or we are cancelled.
async fn hold_until_end(stream: &mut Stream, keep: oneshot::Receiver<()>) {
    let mut byte = [0];
    tokio::select! {
        _ = keep => {}
        _ = stream.read(&mut byte) => {}
    }
}

/// One frame; `None` when the stream ended or stalled, an error when it broke the protocol.
async fn read_frame(stream: &mut Stream) -> Result<Option<LinkFrame>, FrameError> {
    let reading = async {
        let mut reader = LinkFrameReader::new();
        let mut buffer = [0; READ_BYTES];
        loop {
            let wanted = reader.missing_bytes().min(READ_BYTES);
            let count = match stream.read(&mut buffer[..wanted]).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(count) => count,
            };
            if let Some(frame) = reader.read(&mut &buffer[..count])? {
                return Ok(Some(frame));
            }
        }
    };
    timeout(FRAME_TIMEOUT, reading).await.unwrap_or(Ok(None))
}

async fn read_answer(stream: &mut Stream, context: &Context) -> LinkAnswer {
    match read_frame(stream).await {
        Ok(None) => LinkAnswer::Broken,
        Ok(Some(LinkFrame::Ok(ok))) => match hello(ok.unix_ms, ok.descriptor, ok.others, context) {
            Some(hello) => LinkAnswer::Held(hello),
            None => LinkAnswer::Fault,
        },
        Ok(Some(LinkFrame::Full(full))) => match verify_others(&full.others, context.now_unix_s) {
            Some(others) => LinkAnswer::Full(others),
            None => LinkAnswer::Fault,
        },
        Ok(Some(LinkFrame::Refused(reason))) => LinkAnswer::Refused(reason),
        Ok(Some(LinkFrame::Hold(_))) | Err(_) => LinkAnswer::Fault,
    }
}

async fn read_hold(stream: &mut Stream, context: &Context) -> Option<Asked> {
    Some(match read_frame(stream).await {
        Ok(None) => return None,
        Err(FrameError::Version(_)) => Asked::WrongVersion,
        // Parameters first: a peer with others is not at fault, whatever else its Hold says.
        Ok(Some(LinkFrame::Hold(hold))) if hold.parameters_hash != context.parameters_hash => Asked::WrongParameters,
        Ok(Some(LinkFrame::Hold(hold))) => match hello(hold.unix_ms, hold.descriptor, hold.others, context) {
            Some(hello) => Asked::Hold(hello),
            None => Asked::Fault,
        },
        Ok(Some(_)) | Err(_) => Asked::Fault,
    })
}

/// Checks the signatures; `None` is the peer's fault.
fn hello(unix_ms: u64, descriptor: NodeDescriptor, others: Vec<NodeDescriptor>, context: &Context) -> Option<Hello> {
    let own = descriptor.node_key() == &context.peer.0;
    let signed = descriptor.verify(descriptor.expiry_unix_s().saturating_sub(1)).is_ok();
    let others = verify_others(&others, context.now_unix_s)?;
    (own && signed).then_some(Hello { unix_ms, descriptor, others })
}

fn verify_others(others: &[NodeDescriptor], now_unix_s: u64) -> Option<Vec<VerifiedDescriptor>> {
    let mut verified = Vec::with_capacity(others.len());
    for other in others {
        match other.verify(now_unix_s) {
            Ok(descriptor) => verified.push(descriptor),
            Err(DescriptorError::Expired | DescriptorError::TooFarAhead) => {}
            Err(_) => return None,
        }
    }
    Some(verified)
}
