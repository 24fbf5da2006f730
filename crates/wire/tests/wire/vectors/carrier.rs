//! Envelopes, networks, push cells, descriptors.

use ed25519_dalek::SigningKey;
use starling_wire::descriptor::{DescriptorError, NodeDescriptor};
use starling_wire::envelope::{Class, Envelope, EnvelopeError, Epoch, Head, Tag, TopicId};
use starling_wire::network::{NetworkParameters, ParametersError, day_of, provider_key};
use starling_wire::push_cell::{CellError, ExitPlaintext, GuardPlaintext, PushCell};

use super::{Case, array, bytes, check, number};

fn envelope_reason(error: EnvelopeError) -> &'static str {
    match error {
        EnvelopeError::Length { .. } => "length",
        EnvelopeError::Version(_) => "version",
        EnvelopeError::Class(_) => "class",
        EnvelopeError::Topic => "topic",
    }
}

fn class(value: &serde_json::Value) -> Class {
    Class::from_byte(number(value)).unwrap()
}

#[test]
fn envelopes() {
    check("envelope", &["length", "version", "class", "topic"], |case| {
        let input = &case.input;
        if input["bytes"].is_array() {
            return Envelope::parse(bytes(&input["bytes"])).map(drop).map_err(envelope_reason);
        }
        let head = Head {
            class: class(&input["class"]),
            topic: TopicId(number(&input["topic"])),
            epoch: Epoch(number(&input["epoch_hour"])),
            tag: Tag(array(&input["tag"])),
            ephemeral: array(&input["ephemeral"]),
        };
        let (stamp, effort, body) = (array(&input["stamp"]), number(&input["effort"]), bytes(&input["body"]));
        let envelope = Envelope::assemble(&head, &stamp, effort, &body).map_err(envelope_reason)?;
        assert_eq!(Head::prefix(head.class, head.topic, head.epoch).as_slice(), bytes(&case.steps["prefix"]));
        assert_eq!(envelope.associated_data(), bytes(&case.steps["associated_data"]));
        assert_eq!(envelope.as_bytes().len(), number::<usize>(&case.expect["bytes"]));
        assert_eq!(envelope.as_bytes()[..86], bytes(&case.expect["head"]));
        assert_eq!(envelope.id().0, array(&case.expect["id"]));

        let read = Envelope::parse(envelope.as_bytes()).unwrap();
        assert_eq!(read, envelope);
        assert_eq!((read.head(), read.stamp(), read.effort()), (head, stamp, effort));
        assert_eq!(read.body(), body);
        let key = read.key();
        assert_eq!((key.topic, key.epoch, key.class, key.id), (head.topic, head.epoch, head.class, envelope.id()));
        Ok(())
    });
}

#[test]
fn networks() {
    check("network", &["depth", "name", "main_is_fixed", "range"], |case| match case.input["op"].as_str().unwrap() {
        "topic" => topic(case),
        "provider_key" => {
            let network = NetworkParameters::test(case.input["network"].as_str().unwrap()).id();
            assert_eq!(network.0, array(&case.steps["network_id"]));
            let day = day_of(Epoch(number(&case.input["epoch_hour"])));
            assert_eq!(day, number::<u32>(&case.steps["day"]));
            let topic = TopicId(number(&case.input["topic"]));
            assert_eq!(provider_key(&network, topic, day, number(&case.input["index"])), array(&case.expect["key"]));
            Ok(())
        }
        "parameters" => parameters(case),
        op => panic!("{op}"),
    });
}

fn topic(case: &Case) -> Result<(), &'static str> {
    let network = NetworkParameters::test(case.input["network"].as_str().unwrap());
    let topic = TopicId::of_shard(number(&case.input["shard"]), number(&case.input["shard_bits"])).ok_or("depth")?;
    assert_eq!(topic, TopicId(number(&case.expect["topic"])));
    assert!(topic.is_canonical());
    assert_eq!(network.gossip_topic(topic), case.expect["gossip_topic"]);
    Ok(())
}

fn parameters(case: &Case) -> Result<(), &'static str> {
    let parameters: NetworkParameters = serde_json::from_value(case.input["parameters"].clone()).unwrap();
    parameters.validate().map_err(|error| match error {
        ParametersError::Name => "name",
        ParametersError::MainIsFixed => "main_is_fixed",
        ParametersError::Range { .. } => "range",
    })?;
    assert_eq!(parameters.hash(), *blake3::hash(&bytes(&case.steps["canonical"])).as_bytes());
    assert_eq!(parameters.hash(), array(&case.expect["hash"]));
    for (class, name) in [(Class::Small, "efforts_small"), (Class::Large, "efforts_large")] {
        assert_eq!(serde_json::json!(parameters.efforts(class)), case.expect[name]);
    }
    assert_eq!(parameters.protocol("link/1"), case.expect["link_protocol"]);
    Ok(())
}

fn cell_reason(error: CellError) -> &'static str {
    match error {
        CellError::Length { .. } => "length",
        CellError::Order(_) => "order",
    }
}

#[test]
fn push_cells() {
    check("push_cell", &["length", "order"], |case| {
        let input = bytes(&case.input["bytes"]);
        match case.input["op"].as_str().unwrap() {
            "cell" => {
                let cell = PushCell::parse(input.clone()).map_err(cell_reason)?;
                assert_eq!(cell.class(), class(&case.expect["class"]));
                assert_eq!(cell.exit_layer(), &input[..number(&case.steps["exit_layer"])]);
                assert_eq!(cell.guard_layer(), &input[..number(&case.steps["guard_layer"])]);
                for layer in [cell.exit_layer(), cell.guard_layer()] {
                    assert_eq!(PushCell::assemble(cell.class(), layer, &input[layer.len()..]), Ok(cell.clone()));
                }
            }
            "exit" => {
                let class = class(&case.input["class"]);
                let plaintext = ExitPlaintext::decode(&input, class).map_err(cell_reason)?;
                match case.expect["order"].as_str().unwrap() {
                    "publish" => assert_eq!(plaintext, ExitPlaintext::Publish(bytes(&case.expect["envelope"]).into())),
                    order => assert_eq!((&plaintext, order), (&ExitPlaintext::Drop, "drop")),
                }
                assert_eq!(plaintext.encode(class), Ok(input));
            }
            op => {
                assert_eq!(op, "guard");
                let class = class(&case.input["class"]);
                let plaintext = GuardPlaintext::decode(&input, class).map_err(cell_reason)?;
                assert_eq!(plaintext.node_key, array(&case.expect["node_key"]));
                assert_eq!(plaintext.exit_layer.as_ref(), bytes(&case.expect["exit_layer"]));
                assert_eq!(plaintext.encode(class), Ok(input));
            }
        }
        Ok(())
    });
}

#[test]
fn descriptors() {
    let reasons = ["length", "address_count", "address_length", "signature", "expired", "too_far_ahead"];
    let reason = |error| match error {
        DescriptorError::Length => "length",
        DescriptorError::AddressCount => "address_count",
        DescriptorError::AddressLength => "address_length",
        DescriptorError::Signature => "signature",
        DescriptorError::Expired => "expired",
        DescriptorError::TooFarAhead => "too_far_ahead",
    };
    check("descriptor", &reasons, |case| {
        let (input, now) = (&case.input, number(&case.input["now_unix_s"]));
        if input["bytes"].is_string() {
            let descriptor = NodeDescriptor::parse(&bytes(&input["bytes"])).map_err(reason)?;
            return descriptor.verify(now).map(drop).map_err(reason);
        }
        let key = SigningKey::from_bytes(&array(&input["node_secret"]));
        let addresses: Vec<Vec<u8>> = input["addresses"].as_array().unwrap().iter().map(bytes).collect();
        let expiry = number(&input["expiry_unix_s"]);
        let signed = NodeDescriptor::sign(&key, array(&input["onion_key"]), expiry, &addresses).map_err(reason)?;
        assert_eq!(signed.as_bytes(), bytes(&case.expect["bytes"]));
        let steps = bytes(&case.steps["signed"]);
        assert_eq!(&steps[b"starling/1 node\0".len()..], &signed.as_bytes()[..signed.as_bytes().len() - 64]);

        let read = NodeDescriptor::parse(signed.as_bytes()).map_err(reason)?;
        assert_eq!(read.verify(now).map_err(reason)?.descriptor(), &signed);
        assert_eq!(read.node_key(), &array(&case.expect["node_key"]));
        assert_eq!(read.onion_key(), &array(&input["onion_key"]));
        assert_eq!(read.expiry_unix_s(), expiry);
        assert_eq!(read.addresses().iter().map(|address| address.to_vec()).collect::<Vec<_>>(), addresses);
        Ok(())
    });
}
