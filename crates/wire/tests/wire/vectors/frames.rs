//! Frames of `sync/1` and `link/1`, salted ids.

use serde_json::Value;
use starling_wire::descriptor::NodeDescriptor;
use starling_wire::envelope::{EnvelopeId, Epoch, EpochRange};
use starling_wire::frame::FrameError;
use starling_wire::link_frame::{Hold, HoldFull, HoldOk, LinkFrame, LinkFrameReader, RefusalReason};
use starling_wire::sync_frame::{
    Body, ByeReason, SessionSalt, SyncFrame, SyncFrameReader, SyncHello, SyncId, salted_id,
};

use super::{array, bytes, check, number};

fn reason(error: FrameError) -> &'static str {
    match error {
        FrameError::NoKind(_) => "no_kind",
        FrameError::Kind(_) => "kind",
        FrameError::Length { .. } => "length",
        FrameError::NotOneFrame => "not_one_frame",
        FrameError::Version(_) => "version",
        FrameError::Window => "window",
        FrameError::Bodies => "bodies",
        FrameError::Encoding(_) => "encoding",
    }
}

fn expected_sync_frame(expect: &Value) -> SyncFrame {
    match expect["kind"].as_str().unwrap() {
        "hello" => {
            let hour = |name: &str| Epoch(number(&expect[name]));
            let window = EpochRange { first: hour("first_hour"), last: hour("last_hour") };
            let (salt, unix_ms) = (array(&expect["salt"]), number(&expect["unix_ms"]));
            SyncFrame::Hello(SyncHello { salt, oldest_hour: hour("oldest_hour"), window, unix_ms })
        }
        "negentropy" => SyncFrame::Negentropy(bytes(&expect["message"])),
        "pull" => {
            let ids: Vec<_> = bytes(&expect["ids"]).as_chunks().0.iter().map(|id| SyncId(*id)).collect();
            assert_eq!(ids.len(), number::<usize>(&expect["count"]));
            SyncFrame::Pull(ids)
        }
        "bodies" => {
            let body = |item: &Value| match item.get("absent") {
                Some(id) => Body::Absent(SyncId(array(id))),
                None => Body::Envelope(bytes(&item["envelope"]).into()),
            };
            SyncFrame::Bodies(expect["items"].as_array().unwrap().iter().map(body).collect())
        }
        kind => {
            assert_eq!(kind, "bye");
            SyncFrame::Bye(ByeReason(number(&expect["reason"])))
        }
    }
}

#[test]
fn sync_frames() {
    let reasons = ["no_kind", "kind", "length", "not_one_frame", "window", "bodies"];
    check("sync_frame", &reasons, |case| {
        let input = bytes(&case.input["bytes"]);
        let frame = SyncFrame::decode(&input).map_err(reason)?;
        assert_eq!(frame, expected_sync_frame(&case.expect));
        assert_eq!(frame.encode().map_err(reason)?, input);
        // Read twice in a row from a stream, the second time byte by byte.
        let mut reader = SyncFrameReader::new();
        assert_eq!(reader.read(&mut input.as_slice()), Ok(Some(frame.clone())));
        let mut found = None;
        for byte in &input {
            assert_eq!(found, None);
            found = reader.read(&mut [*byte].as_slice()).map_err(reason)?;
        }
        assert_eq!(found, Some(frame));
        assert!(reader.is_between_frames());
        Ok(())
    });
}

#[test]
fn sync_ids() {
    check("sync_id", &[], |case| {
        let salt = SessionSalt::derive(&array(&case.input["initiator"]), &array(&case.input["responder"]));
        assert_eq!(salt.as_bytes(), blake3::hash(&bytes(&case.steps["preimage"])).as_bytes());
        assert_eq!(salt.as_bytes(), &array(&case.steps["session_salt"]));
        let id = salted_id(&salt, &EnvelopeId(array(&case.input["id"])));
        assert_eq!(id, SyncId(array(&case.expect["sync_id"])), "{}", case.id);
        Ok(())
    });
}

fn descriptor(value: &Value) -> NodeDescriptor {
    NodeDescriptor::parse(&bytes(value)).unwrap()
}

/// Others: each a hex string, or `{repeat, times}`.
fn others(expect: &Value) -> Vec<NodeDescriptor> {
    let several = |other: &Value| match other.get("repeat") {
        Some(repeated) => vec![descriptor(repeated); number(&other["times"])],
        None => vec![descriptor(other)],
    };
    expect["others"].as_array().unwrap().iter().flat_map(several).collect()
}

fn expected_link_frame(expect: &Value) -> LinkFrame {
    match expect["kind"].as_str().unwrap() {
        "hold" => LinkFrame::Hold(Hold {
            parameters_hash: array(&expect["parameters_hash"]),
            unix_ms: number(&expect["unix_ms"]),
            descriptor: descriptor(&expect["descriptor"]),
            others: others(expect),
        }),
        "ok" => LinkFrame::Ok(HoldOk {
            unix_ms: number(&expect["unix_ms"]),
            descriptor: descriptor(&expect["descriptor"]),
            others: others(expect),
        }),
        "full" => LinkFrame::Full(HoldFull { unix_ms: number(&expect["unix_ms"]), others: others(expect) }),
        kind => {
            assert_eq!(kind, "refused");
            let reason = RefusalReason(number(&expect["reason"]));
            assert_eq!(reason.to_string(), expect["name"]);
            LinkFrame::Refused(reason)
        }
    }
}

#[test]
fn link_frames() {
    let reasons = ["no_kind", "kind", "length", "not_one_frame", "version", "encoding"];
    check("link_frame", &reasons, |case| {
        let input = bytes(&case.input["bytes"]);
        let frame = LinkFrame::decode(&input).map_err(reason)?;
        assert_eq!(frame, expected_link_frame(&case.expect));
        assert_eq!(frame.encode().map_err(reason)?, input);
        let mut reader = LinkFrameReader::new();
        assert_eq!(reader.read(&mut input.as_slice()), Ok(Some(frame.clone())));
        let mut found = None;
        for byte in &input {
            assert_eq!(found, None);
            found = reader.read(&mut [*byte].as_slice()).map_err(reason)?;
        }
        assert_eq!(found, Some(frame));
        assert!(reader.is_between_frames());
        Ok(())
    });
}
