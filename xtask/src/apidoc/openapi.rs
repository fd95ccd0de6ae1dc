//! The OpenAPI 3.1 document of the JSON API: every method that takes one message, as `POST /v1/<service>/<method>`,
//! with the JSON mapping of protobuf.

use protox::prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, MethodDescriptorProto, field_descriptor_proto::Type,
};
use serde_json::{Map, Value, json};

use super::{File, below, choice_of, is_repeated, map_of, numbered};

const ABOUT: &str = "Every method of the gRPC API that takes one message, as JSON over HTTP. 64-bit integers are strings, \
    times are RFC 3339, fields that have their default are left out. Errors are google.rpc.Status.";

pub(super) fn document(files: &[File<'_>]) -> String {
    let (mut paths, mut schemas, mut tags) = (Map::new(), Map::new(), Vec::new());
    for file in files {
        let package = file.proto.package();
        for (at, service) in numbered(&file.proto.service) {
            let name = format!("{package}.{}", service.name());
            tags.push(json!({"name": name, "description": file.comment(&[6, at])}));
            for (index, method) in numbered(&service.method) {
                if method.client_streaming() {
                    continue;
                }
                let about = file.comment(&below(&[6, at], index));
                let path = format!("/v1/{name}/{}", method.name());
                paths.insert(path, json!({"post": operation(&name, method, &about)}));
            }
        }
        for (path, name, message) in file.messages() {
            let schema = object(file, &path, message);
            schemas.insert(format!("{package}.{name}"), schema);
        }
        for (path, name, one) in file.enums() {
            let values: Vec<&str> = one
                .value
                .iter()
                .map(protox::prost_reflect::prost_types::EnumValueDescriptorProto::name)
                .collect();
            let schema =
                json!({"type": "string", "description": file.comment(&path), "enum": values});
            schemas.insert(format!("{package}.{name}"), schema);
        }
    }
    schemas.insert("google.rpc.Status".to_owned(), status());
    tags.sort_by_key(|tag| tag["name"].to_string());
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Solmu",
            "version": "v1",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:7313"}],
        "security": [{"bearer": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn operation(service: &str, method: &MethodDescriptorProto, about: &str) -> Value {
    let short = service.rsplit('.').next().unwrap_or(service);
    let answer = reference(method.output_type());
    let content = if method.server_streaming() {
        let lines = json!({"schema": {"type": "object", "properties": {
            "result": answer, "error": reference("google.rpc.Status"),
        }}});
        json!({"application/x-ndjson": lines, "text/event-stream": {"schema": {"type": "string"}}})
    } else {
        json!({"application/json": {"schema": answer}})
    };
    json!({
        "operationId": format!("{short}_{}", method.name()),
        "tags": [service],
        "summary": about.split(". ").next().unwrap_or_default(),
        "description": about,
        "requestBody": {
            "required": true,
            "content": {"application/json": {"schema": reference(method.input_type())}},
        },
        "responses": {
            "200": {"description": "The answer", "content": content},
            "default": {
                "description": "Why it failed",
                "content": {"application/json": {"schema": reference("google.rpc.Status")}},
            },
        },
    })
}

fn reference(type_name: &str) -> Value {
    let name = type_name.trim_start_matches('.');
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn object(file: &File<'_>, path: &[i32], message: &DescriptorProto) -> Value {
    let mut properties = Map::new();
    for (at, field) in numbered(&message.field) {
        let mut about = file.comment(&below(path, at));
        if let Some(choice) = choice_of(message, field) {
            let whole = format!("One of `{choice}`. {about}");
            whole.trim().clone_into(&mut about);
        }
        let mut schema = field_schema(message, field);
        if !about.is_empty() {
            schema["description"] = about.into();
        }
        properties.insert(field.json_name().to_owned(), schema);
    }
    json!({"type": "object", "description": file.comment(path), "properties": properties})
}

fn field_schema(message: &DescriptorProto, field: &FieldDescriptorProto) -> Value {
    if let Some((_, value)) = map_of(message, field) {
        return json!({"type": "object", "additionalProperties": one(value)});
    }
    if is_repeated(field) {
        return json!({"type": "array", "items": one(field)});
    }
    one(field)
}

/// The JSON form of one value (protobuf.dev, JSON mapping).
fn one(field: &FieldDescriptorProto) -> Value {
    match field.r#type() {
        Type::Double | Type::Float => json!({"type": "number"}),
        Type::Int64 | Type::Sint64 | Type::Sfixed64 => {
            json!({"type": "string", "format": "int64"})
        }
        Type::Uint64 | Type::Fixed64 => json!({"type": "string", "format": "uint64"}),
        Type::Int32 | Type::Sint32 | Type::Sfixed32 => {
            json!({"type": "integer", "format": "int32"})
        }
        Type::Uint32 | Type::Fixed32 => json!({"type": "integer", "minimum": 0}),
        Type::Bool => json!({"type": "boolean"}),
        Type::String => json!({"type": "string"}),
        Type::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Type::Enum => reference(field.type_name()),
        Type::Message | Type::Group => well_known(field.type_name()),
    }
}

fn well_known(type_name: &str) -> Value {
    match type_name.trim_start_matches('.') {
        "google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
        "google.protobuf.Duration" => {
            json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$"})
        }
        "google.protobuf.FieldMask" => {
            json!({"type": "string", "description": "Names of fields in lowerCamelCase, with commas"})
        }
        "google.protobuf.Value" => json!({}),
        "google.protobuf.ListValue" => json!({"type": "array"}),
        name if name.starts_with("google.protobuf.") => json!({"type": "object"}),
        name => reference(name),
    }
}

fn status() -> Value {
    json!({
        "type": "object",
        "description": "Why a call failed",
        "properties": {
            "code": {"type": "integer", "description": "google.rpc.Code"},
            "message": {"type": "string", "description": "For people; may change"},
            "details": {
                "type": "array",
                "description": "google.rpc.ErrorInfo with a stable reason first, then what the code brings",
                "items": {"type": "object", "properties": {"@type": {"type": "string"}}},
            },
        },
    })
}
