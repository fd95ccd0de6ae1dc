//! What people read about the API, out of the descriptors and their comments: `docs/api/<package>.md` and
//! `docs/api/openapi.json`, committed, so that a change of the API is seen in review as its readers see it.

use std::{collections::BTreeMap, fmt::Write as _};

use protox::prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, ServiceDescriptorProto, field_descriptor_proto::Type,
};

mod openapi;

/// Where the pages stand.
pub(crate) const OUT: &str = "docs/api";
/// The page in that folder that a test of the permission table writes.
pub(crate) const FOREIGN: &str = "permissions.md";
/// Where the fields of a message or the methods of a service are in the path of a comment (descriptor.proto).
const MEMBERS: i32 = 2;

/// Every page by file name.
pub(crate) fn pages(set: &FileDescriptorSet) -> BTreeMap<String, String> {
    let files: Vec<File<'_>> = set
        .file
        .iter()
        .filter(|file| file.package().starts_with("solmu."))
        .map(File::of)
        .collect();
    let mut packages: BTreeMap<&str, Vec<&File<'_>>> = BTreeMap::new();
    for file in &files {
        packages.entry(file.proto.package()).or_default().push(file);
    }
    let mut pages = BTreeMap::new();
    let mut index = String::from(
        "# API reference\n\nWritten from `proto/` by `cargo xtask gen`; do not edit. How to call it: [api.md](../api.md). \
         Who may call what: [permissions.md](permissions.md). The same over HTTP: [openapi.json](openapi.json).\n\n",
    );
    for (package, files) in packages {
        let name = format!("{}.md", package.trim_start_matches("solmu."));
        let services: Vec<&str> = files
            .iter()
            .flat_map(|file| file.proto.service.iter().map(ServiceDescriptorProto::name))
            .collect();
        let what = if services.is_empty() {
            "messages and events".to_owned()
        } else {
            services.join(", ")
        };
        line(&mut index, &format!("- [`{package}`]({name}): {what}"));
        pages.insert(name, page(package, &files));
    }
    pages.insert("README.md".to_owned(), index);
    pages.insert("openapi.json".to_owned(), openapi::document(&files));
    pages
}

/// A proto file with its comments.
struct File<'a> {
    proto: &'a FileDescriptorProto,
    comments: BTreeMap<&'a [i32], &'a str>,
}

impl<'a> File<'a> {
    fn of(proto: &'a FileDescriptorProto) -> Self {
        let locations = proto
            .source_code_info
            .iter()
            .flat_map(|info| &info.location);
        let comments = locations.filter(|place| place.leading_comments.is_some());
        Self {
            proto,
            comments: comments
                .map(|place| (place.path.as_slice(), place.leading_comments()))
                .collect(),
        }
    }

    /// What is written above the thing at this path, in one line.
    fn comment(&self, path: &[i32]) -> String {
        let text = self.comments.get(path).copied().unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Every message with its path and its name within the package, nested ones after their parent.
    fn messages(&self) -> Vec<(Vec<i32>, String, &'a DescriptorProto)> {
        let mut all = Vec::new();
        for (at, message) in numbered(&self.proto.message_type) {
            nested(&[4, at], message.name(), message, &mut all);
        }
        all
    }

    fn enums(&self) -> Vec<(Vec<i32>, String, &'a EnumDescriptorProto)> {
        let mut all: Vec<_> = numbered(&self.proto.enum_type)
            .map(|(at, one)| (vec![5, at], one.name().to_owned(), one))
            .collect();
        for (path, name, message) in self.messages() {
            for (at, one) in numbered(&message.enum_type) {
                let mut path = path.clone();
                path.extend([4, at]);
                all.push((path, format!("{name}.{}", one.name()), one));
            }
        }
        all
    }
}

fn nested<'a>(
    path: &[i32],
    name: &str,
    message: &'a DescriptorProto,
    all: &mut Vec<(Vec<i32>, String, &'a DescriptorProto)>,
) {
    if is_map_entry(message) {
        return;
    }
    all.push((path.to_vec(), name.to_owned(), message));
    for (at, inner) in numbered(&message.nested_type) {
        let path = [path, &[3, at]].concat();
        nested(&path, &format!("{name}.{}", inner.name()), inner, all);
    }
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message
        .options
        .as_ref()
        .is_some_and(protox::prost_reflect::prost_types::MessageOptions::map_entry)
}

fn numbered<T>(items: &[T]) -> impl Iterator<Item = (i32, &T)> {
    (0..).zip(items)
}

fn below(path: &[i32], at: i32) -> Vec<i32> {
    let mut path = path.to_vec();
    path.extend([MEMBERS, at]);
    path
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn page(package: &str, files: &[&File<'_>]) -> String {
    let mut text = format!(
        "# {package}\n\nWritten from `proto/` by `cargo xtask gen`; do not edit. [All packages](README.md).\n"
    );
    for file in files {
        for (at, service) in numbered(&file.proto.service) {
            service_part(&mut text, file, at, service);
        }
    }
    for file in files {
        for (path, name, message) in file.messages() {
            message_part(&mut text, file, &path, &name, message);
        }
        for (path, name, one) in file.enums() {
            heading(&mut text, 2, &name, &file.comment(&path));
            line(&mut text, "\n| Value | Number | |\n|---|---|---|");
            for (at, value) in numbered(&one.value) {
                let comment = cell(&file.comment(&below(&path, at)));
                line(
                    &mut text,
                    &format!("| `{}` | {} | {comment} |", value.name(), value.number()),
                );
            }
        }
    }
    text
}

fn heading(text: &mut String, level: usize, name: &str, comment: &str) {
    let _ = write!(text, "\n{} {name}\n", "#".repeat(level));
    if !comment.is_empty() {
        let _ = write!(text, "\n{comment}\n");
    }
}

fn service_part(text: &mut String, file: &File<'_>, at: i32, service: &ServiceDescriptorProto) {
    let path = [6, at];
    heading(text, 2, service.name(), &file.comment(&path));
    line(text, "\n| Method | Takes | Gives | |\n|---|---|---|---|");
    for (at, method) in numbered(&service.method) {
        let stream = |yes: bool| if yes { "stream of " } else { "" };
        line(
            text,
            &format!(
                "| `{}` | {}{} | {}{} | {} |",
                method.name(),
                stream(method.client_streaming()),
                link(file, method.input_type()),
                stream(method.server_streaming()),
                link(file, method.output_type()),
                cell(&file.comment(&below(&path, at))),
            ),
        );
    }
}

fn message_part(
    text: &mut String,
    file: &File<'_>,
    path: &[i32],
    name: &str,
    message: &DescriptorProto,
) {
    heading(text, 2, name, &file.comment(path));
    if message.field.is_empty() {
        return;
    }
    line(text, "\n| Field | Number | Type | |\n|---|---|---|---|");
    for (at, field) in numbered(&message.field) {
        let mut comment = file.comment(&below(path, at));
        if let Some(choice) = choice_of(message, field) {
            comment = format!("One of `{choice}`. {comment}");
        }
        line(
            text,
            &format!(
                "| `{}` | {} | {} | {} |",
                field.name(),
                field.number(),
                type_text(file, message, field),
                cell(comment.trim()),
            ),
        );
    }
}

/// The oneof that a field belongs to; not those that proto3's `optional` makes.
fn choice_of<'a>(message: &'a DescriptorProto, field: &FieldDescriptorProto) -> Option<&'a str> {
    let index = field.oneof_index.filter(|_| !field.proto3_optional())?;
    let choice = message.oneof_decl.get(usize::try_from(index).ok()?)?;
    Some(choice.name())
}

/// Key and value of a map field.
fn map_of<'a>(
    message: &'a DescriptorProto,
    field: &FieldDescriptorProto,
) -> Option<(&'a FieldDescriptorProto, &'a FieldDescriptorProto)> {
    let name = field.type_name().rsplit('.').next()?;
    let entry = message
        .nested_type
        .iter()
        .find(|nested| nested.name() == name && is_map_entry(nested))?;
    Some((entry.field.first()?, entry.field.get(1)?))
}

fn type_text(file: &File<'_>, message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    if let Some((key, value)) = map_of(message, field) {
        let key = scalar(key.r#type());
        return format!("map of {key} to {}", one_type(file, value));
    }
    let one = one_type(file, field);
    match (is_repeated(field), field.proto3_optional()) {
        (true, _) => format!("list of {one}"),
        (_, true) => format!("{one}, optional"),
        _ => one,
    }
}

fn is_repeated(field: &FieldDescriptorProto) -> bool {
    use protox::prost_reflect::prost_types::field_descriptor_proto::Label;
    field.label() == Label::Repeated
}

fn one_type(file: &File<'_>, field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => link(file, field.type_name()),
        other => scalar(other).to_owned(),
    }
}

const fn scalar(kind: Type) -> &'static str {
    match kind {
        Type::Double => "double",
        Type::Float => "float",
        Type::Int64 | Type::Sint64 | Type::Sfixed64 => "int64",
        Type::Uint64 | Type::Fixed64 => "uint64",
        Type::Int32 | Type::Sint32 | Type::Sfixed32 => "int32",
        Type::Uint32 | Type::Fixed32 => "uint32",
        Type::Bool => "bool",
        Type::String => "string",
        Type::Bytes => "bytes",
        Type::Group | Type::Message => "message",
        Type::Enum => "enum",
    }
}

/// A type with a link to where it is described.
fn link(file: &File<'_>, type_name: &str) -> String {
    let full = type_name.trim_start_matches('.');
    let here = format!("{}.", file.proto.package());
    if let Some(name) = full.strip_prefix(&here) {
        return format!("[{name}](#{})", anchor(name));
    }
    let Some(rest) = full.strip_prefix("solmu.") else {
        return format!("`{full}`");
    };
    // Packages are lower-case, names of types are not.
    let split = rest.find(|letter: char| letter.is_ascii_uppercase());
    match split.map(|at| rest.split_at(at)) {
        Some((package, name)) => {
            let package = package.trim_end_matches('.');
            format!("[{full}]({package}.md#{})", anchor(name))
        }
        None => format!("`{full}`"),
    }
}

/// As GitHub makes anchors of headings.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace('.', "")
}

/// Text that fits into a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}
