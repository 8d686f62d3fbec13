//! The frame: who the caller is to it, its assets and parameters, what became of a command.

use axum::response::Response;
use protocol::data::{TAG_NAME, TAG_REASON};
use protocol::parameter::Parameter;
use protocol::{AssetId, Command, CommandId, Kind, Status};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::answer::{self, Seen};
use super::body::{self, BODY_SIZE_MAX, BULK_SIZE_MAX};
use super::bulk::BULK_MAX;
use super::examples;
use super::inbound::{Inbound, told};
use super::operation::{Operation, Sort};
use super::problem::Problem;
use super::transfers::{self, Remembered};
use super::values::{Id, Large, Name, Note, Owner, Small, UpTo, Whole, present, schema};
use super::write::{self, Done, Draft};

const TAG: &str = "frame";

/// A new asset.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssetRequest<'a> {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    id: Option<Id>,
    asset: Small,
    #[serde(borrow)]
    name: Name<'a>,
    /// Digits after the point; the engine takes at most 18.
    scale: UpTo<65_535>,
}

/// Another value of a parameter.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParameterRequest<'a> {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    id: Option<Id>,
    value: Whole,
    /// The registry, of a parameter that each host has.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    host: Option<Owner>,
    /// Of a fee: when it takes effect, Unix milliseconds, an hour ahead at the least; 0 is as soon
    /// as may be.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    effective_at: Option<Large>,
    #[serde(borrow, default, deserialize_with = "present")]
    #[schema(nullable = false)]
    reason: Option<Note<'a>>,
}

/// Who asks, and whom.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    #[schema(min_length = 10, max_length = 2048)]
    spiffe_id: String,
    principal: Id,
    #[schema(min_length = 4, max_length = 10)]
    role: &'static str,
    frame: Frame,
}

/// The frame.
#[derive(Serialize, ToSchema)]
pub(crate) struct Frame {
    id: Id,
    epoch: u64,
    /// Journal time, Unix milliseconds.
    time: u64,
    limits: Limits,
}

/// What one request may be.
#[derive(Serialize, ToSchema)]
pub(crate) struct Limits {
    /// Bytes of a body.
    body_size: usize,
    /// Bytes of a bulk body, or of a batch.
    bulk_size: usize,
    /// Transfers of a bulk request.
    bulk_transfers: usize,
    /// Bytes of an Idempotency-Key.
    key_len: usize,
    /// Slots of a batch.
    batch_slots: u32,
}

/// An asset.
#[derive(Serialize, ToSchema)]
pub(crate) struct AssetAnswer {
    asset: AssetId,
    #[schema(max_length = 64)]
    name: String,
    /// Digits after the point.
    #[schema(maximum = 18)]
    scale: u32,
}

/// A parameter.
#[derive(Serialize, ToSchema)]
pub(crate) struct ParameterAnswer {
    name: ParameterName,
    number: u16,
    value: Whole,
    default: Whole,
    minimum: Whole,
    maximum: Whole,
}

/// Every parameter.
#[derive(Serialize, ToSchema)]
pub(crate) struct ParametersAnswer {
    parameters: Vec<ParameterAnswer>,
}

/// The name of a parameter.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct ParameterName(&'static str);

impl PartialSchema for ParameterName {
    fn schema() -> RefOr<Schema> {
        let names = Parameter::ALL.map(Parameter::name);
        schema(json!({"type": "string", "enum": names}))
    }
}

impl ToSchema for ParameterName {
    fn name() -> std::borrow::Cow<'static, str> {
        std::borrow::Cow::Borrowed("ParameterName")
    }
}

fn parameter_example() -> Value {
    json!({"name": "fee.base", "number": 1, "value": "5000", "default": "5000",
           "minimum": "5000", "maximum": "50000"})
}

/// Everything about the frame.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/v1/me", me)
            .does(TAG, "Tells who the caller is", "By its certificate, and to which frame.")
            .sort(Sort::Free)
            .answers::<Me>(
                200,
                json!({"spiffe_id": "spiffe://frame.example/registry/a",
                       "principal": examples::HOST, "role": "registry",
                       "frame": {"id": "0190f0f0-0000-7000-8000-000000000001", "epoch": 1,
                                 "time": 1_715_765_400_000_u64,
                                 "limits": {"body_size": BODY_SIZE_MAX,
                                            "bulk_size": BULK_SIZE_MAX,
                                            "bulk_transfers": BULK_MAX, "key_len": 255,
                                            "batch_slots": 8_190}}}),
            ),
        Operation::post("/v1/assets", create)
            .does(TAG, "Creates an asset", "Its scale never changes; for admins.")
            .reads::<AssetRequest<'_>>(ASSET)
            .answers::<Done>(201, examples::done()),
        Operation::get("/v1/assets/{asset}", asset)
            .does(TAG, "Reads an asset", "Its name and scale.")
            .answers::<AssetAnswer>(200, json!({"asset": 1, "name": "AVT", "scale": 6})),
        Operation::get("/v1/parameters", parameters)
            .does(TAG, "Reads every parameter", "Values, defaults and bounds.")
            .answers::<ParametersAnswer>(200, json!({"parameters": [parameter_example()]})),
        Operation::get("/v1/parameters/{name}", parameter)
            .does(TAG, "Reads a parameter", "Value, default and bounds.")
            .query::<Owner>("host", "The registry, of its own value.", json!(examples::HOST))
            .answers::<ParameterAnswer>(200, parameter_example()),
        Operation::put("/v1/parameters/{name}", configure)
            .does(TAG, "Sets a parameter", "Fees take effect an hour later or more; for admins.")
            .reads::<ParameterRequest<'_>>(CONFIGURE)
            .answers::<Done>(200, examples::done()),
        Operation::get("/v1/commands/{id}", became)
            .does(
                TAG,
                "Tells what became of a command",
                "404 when the frame does not remember the id, or the caller may not ask; it does \
                 not say that the command was not executed.",
            )
            .query::<Owner>(
                "owner",
                "In whose scope: the debtor of transfers and holds, the creditor of captures and \
                 releases, else who sent it; the caller by default.",
                json!(examples::DEBIT),
            )
            .answers::<Remembered>(200, transfers::remembered_example()),
    ]
}

const ASSET: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000001",
  "asset": 2,
  "name": "USD",
  "scale": 2
}"#;

const CONFIGURE: &str = r#"{
  "id": "018f6f0e-8a10-7000-8000-000000000001",
  "value": "6000",
  "effective_at": 1715772600000,
  "reason": "resolution 12"
}"#;

async fn me(inbound: Inbound) -> Result<Response, Problem> {
    inbound.no_query()?;
    let peer = inbound.caller.peer();
    let principal = peer.principal();
    let info = &inbound.caller.desk().info;
    let me = Me {
        spiffe_id: peer.spiffe_id().to_string(),
        principal: Id(principal.id),
        role: principal.role.name(),
        frame: Frame {
            id: Id(info.frame),
            epoch: (info.epoch)(),
            time: (info.journal_ns)() / 1_000_000,
            limits: Limits {
                body_size: BODY_SIZE_MAX,
                bulk_size: BULK_SIZE_MAX,
                bulk_transfers: BULK_MAX,
                key_len: protocol::limits::KEY_LEN_MAX,
                batch_slots: protocol::limits::REQUEST_SLOTS_MAX,
            },
        },
    };
    Ok(answer::json(axum::http::StatusCode::OK, &me))
}

async fn create(mut inbound: Inbound) -> Result<Response, Problem> {
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: AssetRequest<'_> = body::parse(&bytes)?;
    let draft = Draft::new(Kind::Asset, body.id);
    let command =
        Command { asset: body.asset.narrow(), value: body.scale.number(), ..draft.command };
    let text = Some((TAG_NAME, &*body.name.0));
    write::run(&inbound, Draft { command, text, ..draft }, true).await
}

async fn asset(inbound: Inbound) -> Result<Response, Problem> {
    inbound.no_query()?;
    let asset = inbound.path_asset()?;
    let read = Command { asset, ..Command::new(Kind::ReadAsset, CommandId(0)) };
    let (seen, answer) = inbound.ask(read).await?;
    let name = answer.name().to_owned();
    Ok(answer::read(&seen, &AssetAnswer { asset, name, scale: answer.rate }))
}

/// The parameter in the path.
fn named(inbound: &Inbound) -> Result<Parameter, Problem> {
    let name = inbound.path("name");
    let parameter = Parameter::ALL.into_iter().find(|parameter| parameter.name() == name);
    parameter.ok_or_else(|| {
        let problem = Problem::refused(Status::CodeUnknown);
        problem.detail("no parameter has this name; GET /v1/parameters lists them")
    })
}

fn parameter_read(parameter: Parameter, host: u128) -> Command {
    let read = Command::new(Kind::ReadParameter, CommandId(0));
    Command { code: parameter.number(), credit: host, ..read }
}

fn parameter_answer(parameter: Parameter, value: u128) -> ParameterAnswer {
    let bounds = parameter.bounds();
    ParameterAnswer {
        name: ParameterName(parameter.name()),
        number: parameter.number(),
        value: Whole(value),
        default: Whole(bounds.default),
        minimum: Whole(bounds.min),
        maximum: Whole(bounds.max),
    }
}

async fn parameters(inbound: Inbound) -> Result<Response, Problem> {
    inbound.no_query()?;
    let reads = Parameter::ALL.map(|parameter| parameter_read(parameter, 0));
    let answered = inbound.caller.read(&reads).await?;
    let seen = Seen::of(&answered.decoded.head);
    let mut parameters = Vec::with_capacity(reads.len());
    for (parameter, answer) in Parameter::ALL.into_iter().zip(&answered.decoded.answers) {
        told(answer).map_err(|problem| problem.seen(seen))?;
        parameters.push(parameter_answer(parameter, answer.value));
    }
    Ok(answer::read(&seen, &ParametersAnswer { parameters }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Host {
    host: Option<Owner>,
}

async fn parameter(inbound: Inbound) -> Result<Response, Problem> {
    let parameter = named(&inbound)?;
    let Host { host } = inbound.query()?;
    let read = parameter_read(parameter, host.map_or(0, |host| host.0));
    let (seen, answer) = inbound.ask(read).await?;
    Ok(answer::read(&seen, &parameter_answer(parameter, answer.value)))
}

async fn configure(mut inbound: Inbound) -> Result<Response, Problem> {
    let parameter = named(&inbound)?;
    let bytes = inbound.body(BODY_SIZE_MAX).await?;
    let body: ParameterRequest<'_> = body::parse(&bytes)?;
    let draft = Draft::new(Kind::Configure, body.id);
    let command = Command {
        credit: body.host.map_or(0, |host| host.0),
        amount: body.value.0,
        value: body.effective_at.map_or(0, Large::number),
        code: parameter.number(),
        ..draft.command
    };
    let draft = Draft { command, ..draft.note(TAG_REASON, body.reason.as_ref()) };
    write::run(&inbound, draft, false).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    owner: Option<Owner>,
}

async fn became(inbound: Inbound) -> Result<Response, Problem> {
    let id = inbound.path_id("id")?;
    let Scope { owner } = inbound.query()?;
    transfers::remembered(&inbound, id, owner).await
}
