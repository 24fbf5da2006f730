//! Objects and nothing else: serde takes a list of the right length for a struct, and nobody is told in that way.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

type Object = Map<String, Value>;

fn read<T: DeserializeOwned, E: serde::de::Error>(object: Object) -> Result<T, E> {
    serde_json::from_value(Value::Object(object)).map_err(E::custom)
}

/// A list of objects.
pub(crate) fn objects<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Vec::<Object>::deserialize(deserializer)?.into_iter().map(read).collect()
}

/// An object, or `null`.
pub(crate) fn object<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::<Object>::deserialize(deserializer)?.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use crate::message::SendMessage;

    #[test]
    fn a_list_is_no_object() {
        let read = |text: &str| serde_json::from_str::<SendMessage>(text);
        let voice = r#"{"text":"","attachments":[{"blob":"b_1","voice":{"duration_ms":5}}]}"#;
        assert_eq!(read(voice).unwrap().attachments[0].voice.as_ref().unwrap().duration_ms, 5);
        assert!(read(r#"{"attachments":[{"blob":"b_1","voice":null}]}"#).is_ok());
        for wrong in [
            r#"{"attachments":[["b_1","name",null]]}"#,
            r#"{"attachments":[{"blob":"b_1","voice":[5,[]]}]}"#,
            r#"{"attachments":{"blob":"b_1"}}"#,
            r#"{"attachments":[{"blob":"b_1","colour":"red"}]}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
