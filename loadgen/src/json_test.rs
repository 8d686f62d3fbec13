//! Commands as JSON requests, and answers as outcomes.

use protocol::command::flags;
use protocol::parameter::Parameter;
use protocol::reply::Outcome;
use protocol::{Command, Kind, OwnerId, Status, amount, data, system};

use super::fields::push_decimal;
use super::*;
use crate::https::Answer;
use bytes::Bytes;
use protocol::CommandId;
use protocol::ids::NATIVE;

const ID: CommandId = CommandId(0x018f_6f0e_8a10_7000_8000_0000_0000_0001);
const ALICE: OwnerId = 0x0190_0000_0000_7000_8000_0000_0000_000a;

fn written(command: &Command, data: &[Command]) -> Option<(String, String)> {
    let mut request = JsonRequest::default();
    let known = request.write(command, data, 6);
    let body = String::from_utf8(request.body).unwrap();
    known.then(|| (format!("{} {}", request.method, request.path), body))
}

#[test]
fn a_transfer_is_written_as_the_contract_shows_it() {
    let pay = Command::transfer(ID, ALICE, ALICE + 1, NATIVE, 12_500_000);
    let (line, body) = written(&pay, &[]).unwrap();
    assert_eq!(line, "POST /v1/transfers");
    assert_eq!(
        body,
        "{\"id\":\"018f6f0e-8a10-7000-8000-000000000001\",\
         \"debit\":\"01900000-0000-7000-8000-00000000000a\",\
         \"credit\":\"01900000-0000-7000-8000-00000000000b\",\"amount\":\"12.500000\"}"
    );
    let chained = Command { flags: flags::LINKED, ..pay };
    assert_eq!(written(&chained, &[]), None, "chains go by bulk or batch");
}

#[test]
fn every_request_is_json_with_the_path_of_its_kind() {
    let name = data::encode(&[(data::TAG_NAME, b"to\"ken")]);
    let hold = Command::hold(ID, ALICE, ALICE + 1, NATIVE, 5, 100);
    let of = |kind| Command { debit: ALICE, asset: NATIVE, ..Command::new(kind, ID) };
    let account = "/v1/accounts/01900000-0000-7000-8000-00000000000a/1";
    for (command, data, line) in [
        (hold, &[][..], "POST /v1/holds".to_owned()),
        (of(Kind::Freeze), &[], format!("POST {account}/freeze")),
        (of(Kind::Limits), &[], format!("PUT {account}/limits")),
        (of(Kind::Open), &[], "POST /v1/accounts".to_owned()),
        (Command::new(Kind::HaltMint, ID), &[], "POST /v1/mint/halt".to_owned()),
        (
            Command { asset: 2, value: 2, ..Command::new(Kind::Asset, ID) },
            &name,
            "POST /v1/assets".to_owned(),
        ),
        (
            Command { code: Parameter::FeeBase.number(), ..Command::new(Kind::Configure, ID) },
            &[],
            "PUT /v1/parameters/fee.base".to_owned(),
        ),
    ] {
        let (found, body) = written(&command, data).unwrap();
        assert_eq!(found, line);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["id"], ID.to_string());
    }
    let capture = written(&Command::capture(ID, &hold, None), &[]).unwrap();
    assert!(capture.0.ends_with("/1/018f6f0e-8a10-7000-8000-000000000001/capture"));
    assert!(!capture.1.contains("amount"), "everything");
    let read = Command { debit: system::treasury(3), ..of(Kind::ReadAccount) };
    assert_eq!(written(&read, &[]).unwrap().0, "GET /v1/accounts/treasury:3/1");
}

#[test]
fn amounts_are_written_as_the_protocol_writes_them() {
    for minor in [0, 1, 9, 1_000_000, 12_345_678, u64::MAX] {
        for scale in [0, 1, 6, 18] {
            let mut out = Vec::new();
            push_decimal(&mut out, minor, scale);
            assert_eq!(String::from_utf8(out).unwrap(), amount::format(minor.into(), scale));
        }
    }
}

#[test]
fn answers_are_outcomes_refusals_or_unknown() {
    let answer = |status, body: &'static str| Answer {
        status,
        ends: false,
        replayed: false,
        stamps: [0; 4],
        body: Bytes::from_static(body.as_bytes()),
    };
    let ok = told(&answer(201, r#"{"id":"x","status":"ok","sequence":42,"rate":5000}"#));
    let outcome = Outcome { sequence: 42, status: Status::Ok, rate: 5_000, repeat: false };
    assert_eq!(ok, Told::Outcome(outcome));
    let poor = r#"{"type":"/docs#insufficient_funds","number":801,"sequence":43}"#;
    let status = Status::InsufficientFunds;
    let refused = Outcome { sequence: 43, status, rate: 0, repeat: false };
    assert_eq!(told(&answer(422, poor)), Told::Outcome(refused));
    assert_eq!(told(&answer(503, r#"{"number":1012}"#)), Told::Refused(503));
    assert_eq!(told(&answer(500, "")), Told::Unknown(500));
    assert_eq!(told(&answer(408, r#"{"number":1009}"#)), Told::Unknown(408));
    assert_eq!(told(&answer(200, "")), Told::Unknown(200));
}
