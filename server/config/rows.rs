//! The settings as a table: what schema, README, editor manifests and environment names are made from.

use super::Settings;
use serde_json::{Value, json};

/// What the name of each setting begins with in the environment.
pub(super) const PREFIX: &str = "OPENDEVAGENT_";

/// One setting.
#[derive(Clone, Debug)]
pub struct Row {
    /// Dotted name, e.g. `model.baseUrl`.
    pub key: String,
    /// e.g. `OPENDEVAGENT_MODEL_BASE_URL`.
    pub environment: String,
    /// The JSON Schema of the value, with its default and description.
    pub schema: Value,
}

impl Row {
    pub fn description(&self) -> &str {
        self.schema["description"].as_str().unwrap_or_default()
    }

    pub fn default(&self) -> &Value {
        &self.schema["default"]
    }
}

/// Made from [`Settings`] by a test: to make it anew at each start would cost more than all else that a start does.
const SCHEMA: &str = include_str!("schema.json");

/// The JSON Schema of all settings.
pub fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap_or_default()
}

/// Every setting, in the order of declaration.
pub fn rows() -> Vec<Row> {
    let schema = schema();
    let defaults = serde_json::to_value(Settings::default()).unwrap_or_default();
    let mut rows = Vec::new();
    collect(&schema, &schema, &defaults, "", &mut rows);
    rows
}

fn collect(root: &Value, node: &Value, defaults: &Value, prefix: &str, rows: &mut Vec<Row>) {
    let Some(properties) = node["properties"].as_object() else { return };
    for (name, property) in properties {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let target = follow(root, property);
        let default = &defaults[name];
        if target.get("properties").is_some() {
            collect(root, target, default, &key, rows);
            continue;
        }
        let mut schema = target.clone();
        if let (Some(schema), Some(own)) = (schema.as_object_mut(), property.as_object()) {
            schema.extend(
                own.iter()
                    .filter(|(name, _)| *name != "$ref")
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
            schema.insert("default".into(), tidy(default));
            schema.remove("format");
        }
        rows.push(Row { environment: environment_name(&key), key, schema });
    }
}

fn follow<'a>(root: &'a Value, property: &'a Value) -> &'a Value {
    property["$ref"]
        .as_str()
        .and_then(|reference| root.pointer(reference.trim_start_matches('#')))
        .unwrap_or(property)
}

/// 0.30000001192092896 is how JSON spells the 32-bit 0.3; people read 0.3.
fn tidy(value: &Value) -> Value {
    match value.as_f64() {
        Some(number) if number.fract() == 0.0 && number.abs() < 1e15 => json!(number as i64),
        Some(number) => json!((number * 1e6).round() / 1e6),
        None => value.clone(),
    }
}

/// Capitals, words split by `_`. A unit such as `MiB` is one word.
pub(super) fn environment_name(key: &str) -> String {
    let key = key.replace("MiB", "Mib").replace("KiB", "Kib");
    let mut name = PREFIX.to_owned();
    let mut previous = '.';
    for character in key.chars() {
        if character == '.' || character.is_uppercase() && previous.is_lowercase() {
            name.push('_');
        }
        name.extend(character.to_uppercase().filter(|_| character != '.'));
        previous = character;
    }
    name
}
