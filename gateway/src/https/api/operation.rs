//! An operation: its route, its handler and its description in one value, from which both the
//! router and the API document are made, so that the two cannot part.
//!
//! It answers nothing itself.

use std::sync::Arc;

use axum::handler::Handler;
use axum::routing::{MethodRouter, get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::Shared;
use super::body;
use super::problem::Problem;

const OCTETS: &str = "application/octet-stream";

/// What kind of operation it is; it decides which refusals are documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// One command with an id or a key.
    Write,
    /// Many commands.
    Bulk,
    /// Many commands as bytes.
    Batch,
    /// A dry run of a command: refused as the command would be.
    DryRun,
    /// A read of the engine.
    Read,
    /// A read of the history.
    History,
    /// An answer without an end.
    Feed,
    /// The same over another protocol.
    Socket,
    /// Answered by the door alone, to some.
    Shown,
    /// Answered by the door alone.
    Free,
}

/// A body, asked or answered: its schema's name and an example.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) media_type: &'static str,
    pub(crate) schema: Option<String>,
    pub(crate) example: Option<Value>,
}

/// A parameter of the query, or a header.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) place: &'static str,
    pub(crate) description: &'static str,
    pub(crate) schema: Value,
    pub(crate) example: Value,
    pub(crate) is_required: bool,
}

/// Reads an example of a body.
pub(crate) type Check = fn(&'static [u8]) -> Result<(), Problem>;

/// One operation.
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    pub(crate) sort: Sort,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<Content>,
    pub(crate) status: u16,
    pub(crate) answer: Content,
    pub(crate) has_etag: bool,
    pub(crate) schemas: Vec<(String, RefOr<Schema>)>,
    /// Nothing where another part of the door serves it.
    pub(crate) route: Option<MethodRouter<Arc<Shared>>>,
    /// Reads the example of the body as the handler reads bodies.
    pub(crate) check: Option<Check>,
    pub(crate) body_example: &'static str,
}

impl Operation {
    /// GET.
    pub(crate) fn get<H, T>(path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        Self::new("get", path, Sort::Read, Some(get(handler)))
    }

    /// POST of a command.
    pub(crate) fn post<H, T>(path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        Self::new("post", path, Sort::Write, Some(post(handler)))
    }

    /// PUT of a command.
    pub(crate) fn put<H, T>(path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        Self::new("put", path, Sort::Write, Some(put(handler)))
    }

    /// POST of bytes, served elsewhere.
    pub(crate) fn post_bytes(path: &'static str) -> Self {
        let bytes = Content { media_type: OCTETS, schema: None, example: None };
        let described = Self::new("post", path, Sort::Batch, None);
        Self { body: Some(bytes.clone()), answer: bytes, ..described }
    }

    fn new(
        method: &'static str,
        path: &'static str,
        sort: Sort,
        route: Option<MethodRouter<Arc<Shared>>>,
    ) -> Self {
        let answer = Content { media_type: "application/json", schema: None, example: None };
        Self {
            method,
            path,
            tag: "",
            summary: "",
            description: "",
            sort,
            parameters: path_parameters(path),
            body: None,
            status: 200,
            answer,
            has_etag: false,
            schemas: Vec::new(),
            route,
            check: None,
            body_example: "",
        }
    }

    /// What it does: a title, and more.
    pub(crate) fn does(
        mut self,
        tag: &'static str,
        summary: &'static str,
        description: &'static str,
    ) -> Self {
        (self.tag, self.summary, self.description) = (tag, summary, description);
        self
    }

    /// Of another sort than its method says.
    pub(crate) fn sort(mut self, sort: Sort) -> Self {
        self.sort = sort;
        self
    }

    /// What it reads.
    pub(crate) fn reads<T>(mut self, example: &'static str) -> Self
    where
        T: ToSchema + Deserialize<'static>,
    {
        let parsed = serde_json::from_str(example).expect("examples are JSON");
        self.body = Some(Content {
            media_type: "application/json",
            schema: Some(self.schema_of::<T>()),
            example: Some(parsed),
        });
        self.check = Some(|bytes| body::parse::<T>(bytes).map(drop));
        self.body_example = example;
        self
    }

    /// What it answers when all is well.
    pub(crate) fn answers<T: ToSchema>(mut self, status: u16, example: Value) -> Self {
        self.status = status;
        self.answer.schema = Some(self.schema_of::<T>());
        self.answer.example = Some(example);
        self
    }

    /// What it answers, in another form than JSON objects.
    pub(crate) fn answers_as(mut self, media_type: &'static str) -> Self {
        self.answer = Content { media_type, schema: None, example: None };
        self
    }

    /// It answers with another protocol than HTTP.
    pub(crate) fn switches(mut self) -> Self {
        (self.sort, self.status) = (Sort::Socket, 101);
        self.answers_as("")
    }

    /// Its answers carry an ETag.
    pub(crate) fn tagged(mut self) -> Self {
        self.has_etag = true;
        self
    }

    /// A parameter of the query.
    pub(crate) fn query<T: ToSchema>(
        mut self,
        name: &'static str,
        description: &'static str,
        example: Value,
    ) -> Self {
        let schema = json!({"$ref": format!("#/components/schemas/{}", self.schema_of::<T>())});
        let (place, is_required) = ("query", false);
        let parameter = Parameter { name, place, description, schema, example, is_required };
        self.parameters.push(parameter);
        self
    }

    /// The name of a schema, which the document will have.
    pub(crate) fn schema_of<T: ToSchema>(&mut self) -> String {
        let name = T::name().into_owned();
        self.schemas.push((name.clone(), T::schema()));
        T::schemas(&mut self.schemas);
        name
    }
}

/// The parameters that a path names in braces.
fn path_parameters(path: &'static str) -> Vec<Parameter> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(path_parameter).collect()
}

fn path_parameter(name: &'static str) -> Parameter {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let (description, schema, example) = match name {
        "owner" | "debit" => ("The owner.", reference("Owner"), json!(super::examples::DEBIT)),
        "asset" => (
            "The asset's number; 1 is the native one.",
            json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
            json!(1),
        ),
        "hold" => ("The hold's id.", reference("Id"), json!(super::examples::HOLD)),
        "name" => ("The parameter's name.", reference("ParameterName"), json!("fee.base")),
        _ => ("The command's id.", reference("Id"), json!(super::examples::ID)),
    };
    Parameter { name, place: "path", description, schema, example, is_required: true }
}
