//! As much of JSON Schema (draft 2020-12) as the description of the admin API uses; what it does not know it refuses.

use serde_json::{Map, Value};

/// Says where `value` is not as `schema` has it. References are looked up in `document`.
pub fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    at("$", document, schema, value)
}

fn at(place: &str, document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = schema.as_object().ok_or_else(|| format!("{place}: no schema"))?;
    if let Some(reference) = schema.get("$ref") {
        let pointer = reference.as_str().and_then(|reference| reference.strip_prefix('#'));
        let found = pointer.and_then(|pointer| document.pointer(pointer));
        return at(place, document, found.ok_or_else(|| format!("{place}: {reference} is nowhere"))?, value);
    }
    for (keyword, wanted) in schema {
        let right = match keyword.as_str() {
            "description" | "default" => true,
            "type" => has_type(wanted, value),
            "const" => value == wanted,
            "enum" => wanted.as_array().is_some_and(|all| all.contains(value)),
            "minimum" => value.as_f64().is_none_or(|number| Some(number) >= wanted.as_f64()),
            "pattern" => value.as_str().is_none_or(|text| is_id(wanted, text)),
            "required" => fields(value).is_none_or(|fields| {
                let mut names = wanted.as_array().into_iter().flatten().filter_map(Value::as_str);
                names.all(|name| fields.contains_key(name))
            }),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    at(&format!("{place}[{index}]"), document, wanted, item)?;
                }
                true
            }
            "properties" | "additionalProperties" => {
                for (name, field) in fields(value).into_iter().flatten() {
                    let known = schema.get("properties").and_then(|known| known.get(name));
                    let more = schema.get("additionalProperties").unwrap_or(&Value::Null);
                    match (known, more) {
                        (Some(schema), _) => at(&format!("{place}.{name}"), document, schema, field)?,
                        (None, Value::Bool(false)) => return Err(format!("{place}.{name} is not described")),
                        (None, Value::Object(_)) => at(&format!("{place}.{name}"), document, more, field)?,
                        (None, _) => {}
                    }
                }
                true
            }
            unknown => return Err(format!("{place}: what is {unknown}?")),
        };
        if !right {
            return Err(format!("{place}: {value} where {keyword} is {wanted}"));
        }
    }
    Ok(())
}

fn fields(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object()
}

fn has_type(wanted: &Value, value: &Value) -> bool {
    let one = |wanted: &Value| match wanted.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    };
    wanted.as_array().map_or_else(|| one(wanted), |all| all.iter().any(one))
}

/// The one pattern there is.
fn is_id(pattern: &Value, text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    pattern == "^[0-9]+-[0-9]+$"
        && text.split_once('-').is_some_and(|(slot, rest)| digits(slot) && digits(rest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_as_described_is_found() {
        let document = json!({ "all": { "name": { "type": ["string", "null"] } } });
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["id"],
            "properties": {
                "id": { "type": "string", "pattern": "^[0-9]+-[0-9]+$" },
                "names": { "type": "array", "items": { "$ref": "#/all/name" } },
                "count": { "type": "integer", "minimum": 0 }
            }
        });
        let check = |value: Value| check(&document, &schema, &value);
        assert_eq!(check(json!({ "id": "1-2", "names": ["a", null], "count": 0 })), Ok(()));
        for wrong in [
            json!([]),
            json!({}),
            json!({ "id": "12" }),
            json!({ "id": "1-2", "more": 1 }),
            json!({ "id": "1-2", "names": ["a", 1] }),
            json!({ "id": "1-2", "count": -1 }),
            json!({ "id": "1-2", "count": 0.5 }),
        ] {
            assert!(check(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
