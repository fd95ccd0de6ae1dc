//! `solmu field`: custom fields of tickets.

use clap::{Args, Subcommand, ValueEnum};
use prost_types::FieldMask;
use serde_json::{Value, json};
use solmu_cli::parts::{Session, short, table};
use solmu_proto::ticket::v1::{
    ArchiveFieldRequest, CreateFieldRequest, FieldDefinition, ListFieldsRequest,
    UpdateFieldRequest, field_definition::Kind,
};

use crate::request_id;

/// Custom fields.
#[derive(Debug, Subcommand)]
pub enum FieldCommand {
    /// All of them
    List {
        /// Those that are out of use, too
        #[arg(long)]
        all: bool,
    },
    /// Define a field; its key and kind stay for ever
    Create {
        /// Up to 63 lower case letters, digits and underscores
        key: String,
        /// What its values are
        kind: FieldKindArg,
        /// What it may hold
        #[command(flatten)]
        details: FieldDetails,
    },
    /// Change what a field may hold; values that tickets have stay
    Update {
        /// Its key
        key: String,
        /// What it may hold; what is not named stays
        #[command(flatten)]
        details: FieldDetails,
    },
    /// Take a field out of use; values that tickets have stay
    Remove {
        /// Its key
        key: String,
    },
}

/// What values of a field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FieldKindArg {
    /// Any text
    Text,
    /// A decimal number
    Number,
    /// A day
    Date,
    /// An instant
    Datetime,
    /// Yes or no
    Boolean,
    /// One of the options
    Choice,
    /// Any of the options
    MultiChoice,
}

impl From<FieldKindArg> for Kind {
    fn from(kind: FieldKindArg) -> Self {
        match kind {
            FieldKindArg::Text => Self::Text,
            FieldKindArg::Number => Self::Number,
            FieldKindArg::Date => Self::Date,
            FieldKindArg::Datetime => Self::Datetime,
            FieldKindArg::Boolean => Self::Boolean,
            FieldKindArg::Choice => Self::Choice,
            FieldKindArg::MultiChoice => Self::MultiChoice,
        }
    }
}

/// What a field may hold.
#[derive(Debug, Args)]
pub struct FieldDetails {
    /// What people call it
    #[arg(long)]
    label: Option<String>,
    /// What a choice offers, once for each, in this order
    #[arg(long)]
    option: Vec<String>,
    /// Whether tickets must have a value before they are resolved
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    required: Option<bool>,
    /// Least number, day or instant; an empty text: any
    #[arg(long, allow_hyphen_values = true)]
    min: Option<String>,
    /// Greatest one
    #[arg(long, allow_hyphen_values = true)]
    max: Option<String>,
    /// Least length of a text, in characters; 0: any
    #[arg(long)]
    min_length: Option<i32>,
    /// Greatest length of a text
    #[arg(long)]
    max_length: Option<i32>,
    /// Regular expression that a text matches as a whole
    #[arg(long)]
    pattern: Option<String>,
}

impl FieldDetails {
    /// The definition, and the paths of what was said of it.
    fn definition(self, key: String) -> (FieldDefinition, Vec<String>) {
        let said = [
            ("label", self.label.is_some()),
            ("options", !self.option.is_empty()),
            ("required_to_resolve", self.required.is_some()),
            ("min", self.min.is_some()),
            ("max", self.max.is_some()),
            ("min_length", self.min_length.is_some()),
            ("max_length", self.max_length.is_some()),
            ("pattern", self.pattern.is_some()),
        ];
        let paths = said.iter().filter(|(_, said)| *said);
        let paths = paths.map(|(path, _)| (*path).to_owned()).collect();
        let definition = FieldDefinition {
            key,
            label: self.label.unwrap_or_default(),
            options: self.option,
            required_to_resolve: self.required.unwrap_or_default(),
            min: self.min.unwrap_or_default(),
            max: self.max.unwrap_or_default(),
            min_length: self.min_length.unwrap_or_default(),
            max_length: self.max_length.unwrap_or_default(),
            pattern: self.pattern.unwrap_or_default(),
            ..FieldDefinition::default()
        };
        (definition, paths)
    }
}

pub(crate) async fn run(session: &Session, command: FieldCommand) -> anyhow::Result<()> {
    let mut client = session.client()?.fields();
    let (done, what) = match command {
        FieldCommand::List { all } => return list(session, all).await,
        FieldCommand::Create { key, kind, details } => {
            let (definition, _) = details.definition(key);
            let request = CreateFieldRequest {
                field: Some(FieldDefinition {
                    kind: Kind::from(kind).into(),
                    ..definition
                }),
                request_id: request_id(),
            };
            (client.create_field(request).await, "is defined")
        }
        FieldCommand::Update { key, details } => {
            let (definition, paths) = details.definition(key);
            anyhow::ensure!(
                !paths.is_empty(),
                "say what changes, e.g. --label 'Order number'"
            );
            let request = UpdateFieldRequest {
                field: Some(definition),
                update_mask: Some(FieldMask { paths }),
            };
            (client.update_field(request).await, "is changed")
        }
        FieldCommand::Remove { key } => {
            let done = client.archive_field(ArchiveFieldRequest { key }).await;
            (done, "is out of use")
        }
    };
    let field = done.map_err(|status| hint(session, status))?.into_inner();
    let said = format!("Field {} {what}.", field.key);
    session.out.either(&view(&field), said)
}

/// A failure, with what to do about it.
fn hint(session: &Session, status: tonic::Status) -> anyhow::Error {
    let hint = match status.code() {
        tonic::Code::NotFound => "`solmu field list --all` shows what there is",
        tonic::Code::AlreadyExists => {
            "change it with `solmu field update`, or take another key: a key stays, also out of use"
        }
        _ => return session.explain(status),
    };
    let error = session.explain(status);
    anyhow::anyhow!("{error}: {hint}")
}

fn kind_of(field: &FieldDefinition) -> String {
    let name = field.kind().as_str_name();
    name.trim_start_matches("KIND_").to_lowercase()
}

fn view(field: &FieldDefinition) -> Value {
    json!({
        "key": field.key, "kind": kind_of(field), "label": field.label, "options": field.options,
        "required_to_resolve": field.required_to_resolve, "min": field.min, "max": field.max,
        "min_length": field.min_length, "max_length": field.max_length, "pattern": field.pattern,
        "archived": field.archive_time.is_some(),
    })
}

/// What a value must be, in words.
fn limits(field: &FieldDefinition) -> String {
    let mut limits = Vec::new();
    if !field.options.is_empty() {
        limits.push(field.options.join(", "));
    }
    for (word, limit) in [("from", &field.min), ("to", &field.max)] {
        if !limit.is_empty() {
            limits.push(format!("{word} {limit}"));
        }
    }
    match (field.min_length, field.max_length) {
        (0, 0) => {}
        (least, 0) => limits.push(format!("at least {least} characters")),
        (0, most) => limits.push(format!("at most {most} characters")),
        (least, most) => limits.push(format!("{least} to {most} characters")),
    }
    if !field.pattern.is_empty() {
        limits.push(format!("like {}", field.pattern));
    }
    if field.required_to_resolve {
        limits.push("required to resolve".to_owned());
    }
    if field.archive_time.is_some() {
        limits.push("out of use".to_owned());
    }
    limits.join("; ")
}

async fn list(session: &Session, all: bool) -> anyhow::Result<()> {
    let request = ListFieldsRequest { show_archived: all };
    let page = session.client()?.fields().list_fields(request).await;
    let page = page.map_err(|status| session.explain(status))?;
    let fields = page.into_inner().fields;
    let mut rows = table(&["Key", "Kind", "Label", "Values"]);
    for field in &fields {
        rows.add_row([
            field.key.clone(),
            kind_of(field),
            short(&field.label, 40),
            short(&limits(field), 80),
        ]);
    }
    let views: Vec<Value> = fields.iter().map(view).collect();
    session
        .out
        .rows(&views, &rows, "There are no custom fields.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_field_is_what_changes() {
        let details = FieldDetails {
            label: Some("Order".to_owned()),
            option: Vec::new(),
            required: Some(false),
            min: None,
            max: None,
            min_length: None,
            max_length: Some(8),
            pattern: Some(String::new()),
        };
        let (field, paths) = details.definition("order_no".to_owned());
        assert_eq!(
            paths,
            ["label", "required_to_resolve", "max_length", "pattern"]
        );
        assert_eq!((field.key.as_str(), field.max_length), ("order_no", 8));
        assert_eq!(limits(&field), "at most 8 characters");
    }
}
