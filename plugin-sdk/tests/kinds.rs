//! One plugin of each kind, natively, against the fake host: every interface of the host is used by one of them.

use argus_plugin::connector::Page;
use argus_plugin::explainer::{Driver, Explanation, Subject};
use argus_plugin::incidents::Incident;
use argus_plugin::investigator as thinking;
use argus_plugin::metrics::{Series, Statistic};
use argus_plugin::model::{EVERY_METRIC, Edit, Output};
use argus_plugin::remediation::{Approval, Finding, Progress, Proposal};
use argus_plugin::source::{Batch, Options};
use argus_plugin::{
    Error, Explainer, Host, Investigator, Level, Pair, Remediation, Request, Source, testing,
};
use serde_json::{Value, json};

struct Documents {
    connector: String,
}

impl Source for Documents {
    type Config = String;

    fn new(connector: String) -> Result<Self, Error> {
        Ok(Self { connector })
    }

    fn poll(
        &self,
        host: &Host,
        checkpoint: Option<&[u8]>,
        options: &Options,
    ) -> Result<Batch, Error> {
        let after = String::from_utf8_lossy(checkpoint.unwrap_or(b"0")).into_owned();
        let body = json!({ "after": after }).to_string();
        let cursor = host.query(&self.connector, "find", body, &[("sort", "time")])?;
        let mut batch = Batch::new(after);
        loop {
            let page: Page = cursor.next(options.max_records, 1 << 20, 1000)?;
            for document in page.json::<serde_json::Value>()? {
                match document["host"].as_str() {
                    Some(name) => {
                        batch.push(
                            &json!({ "server_name": name, "cpu_user_pct": document["cpu"] }),
                        )?;
                        batch.checkpoint = document["time"].to_string().into_bytes();
                    }
                    None => {
                        host.warn(&format!("no host in {document}"));
                        batch.skipped += 1;
                    }
                }
            }
            if page.last {
                return Ok(batch);
            }
        }
    }
}

argus_plugin::source!(Documents);

#[test]
fn a_source_reads_a_connector_page_by_page() {
    let documents = [
        json!({ "host": "a", "time": 1, "cpu": 5.5 }),
        json!({ "time": 2 }),
        json!({ "host": "b", "time": 3, "cpu": null }),
    ];
    let host = testing::Host::new().documents("mongo", &documents);
    let source: Documents = testing::source(json!("mongo")).expect("settings");
    let options = Options {
        max_records: 2,
        ..Options::default()
    };
    let batch = source.poll(&host, Some(b"7"), &options).expect("a batch");
    let lines = String::from_utf8(batch.items).expect("text");
    let record = |line| serde_json::from_str::<Value>(line).expect("a record");
    let (a, b) = (
        json!({ "cpu_user_pct": 5.5, "server_name": "a" }),
        json!({ "cpu_user_pct": null, "server_name": "b" }),
    );
    assert_eq!(lines.lines().map(record).collect::<Vec<_>>(), [a, b]);
    assert_eq!((batch.checkpoint.as_slice(), batch.skipped), (&b"3"[..], 1));
    let query = &host.queries()[0];
    assert_eq!(
        (query.operation.as_str(), query.body.as_slice()),
        ("find", &br#"{"after":"7"}"#[..])
    );
    assert_eq!(
        host.lines(),
        [(Level::Warn, "no host in {\"time\":2}".to_owned())]
    );
    let error = testing::source::<Documents>(json!("other"))
        .and_then(|source| source.poll(&host, None, &options))
        .expect_err("there is no such connector");
    assert_eq!(error.code, "unknown_connector");
}

/// Masks one metric after the other.
struct Masking;

impl Explainer for Masking {
    type Config = ();

    fn new((): ()) -> Result<Self, Error> {
        Ok(Self)
    }

    fn explain(&self, host: &Host, subject: &Subject) -> Result<Explanation, Error> {
        let window = host.window(&subject.entity, &[])?;
        let shape = window.shape();
        let names = shape.metric_names();
        let variants = names.len() as u32 + 1;
        let edits: Vec<Edit> = (1..variants)
            .map(|variant| Edit::typical(variant, variant - 1, 0..shape.context_steps))
            .collect();
        let risks = window.predict(variants, &edits, &[], &[Output::risk()])?;
        let driver = |(name, risk): (&&str, &f32)| Driver {
            name: (*name).to_owned(),
            impact: risks[0] - risk,
            standard_error: 0.0,
            text: format!("{name} adds {}", risks[0] - risk),
        };
        let mut drivers: Vec<Driver> = names.iter().zip(&risks[1..]).map(driver).collect();
        drivers.sort_by(|a, b| b.impact.total_cmp(&a.impact));
        Ok(Explanation {
            summary: format!("risk {}", risks[0]),
            drivers,
            details: "{}".into(),
        })
    }
}

argus_plugin::explainer!(Masking);

fn subject(entity: &str) -> Subject {
    Subject {
        entity: entity.into(),
        profile: "generic".into(),
        target: "risk".into(),
        step: 0,
        options: vec![Pair::new("by", "metric")],
    }
}

#[test]
fn an_explainer_runs_the_model_within_its_budget() {
    let window = || {
        testing::Window::new(&["cpu", "mem"], 2, 1, |context, _| {
            context[0][1] + 2.0 * context[1][1]
        })
        .values("cpu", &[1.0, 10.0])
        .values("mem", &[2.0, 30.0])
        .typical("cpu", &[5.0, 5.0])
        .typical("mem", &[5.0, 5.0])
    };
    let host = testing::Host::new().with_window("db", window());
    let masking: Masking = testing::explainer(json!(null)).expect("settings");
    let explanation = masking.explain(&host, &subject("db")).expect("explained");
    let impacts: Vec<(&str, f32)> = explanation
        .drivers
        .iter()
        .map(|d| (d.name.as_str(), d.impact))
        .collect();
    assert_eq!(impacts, [("mem", 50.0), ("cpu", 5.0)]);
    assert_eq!(host.evaluations_left(), 10_000 - 3);
    assert_eq!(subject("db").option("by"), Some("metric"));
    let poor = testing::Host::new()
        .with_window("db", window())
        .evaluations(2);
    let code = |host: &Host, entity| {
        masking
            .explain(host, &subject(entity))
            .expect_err("refused")
            .code
    };
    assert_eq!(code(&poor, "db"), "budget_exhausted");
    assert_eq!(code(&host, "nobody"), "unknown_entity");
}

#[test]
fn the_fake_model_applies_every_edit_as_documented() {
    use argus_plugin::model::Change;

    let window = testing::Window::new(&["m"], 1, 1, |context, _| context[0][0]);
    let host =
        testing::Host::new().with_window("e", window.values("m", &[10.0]).typical("m", &[4.0]));
    let window = host.window("e", &[]).expect("there");
    let check = |change, amount: f32, expected: f32| {
        let edits = [Edit::new(0, EVERY_METRIC, change, 0..1, amount)];
        let result = window
            .predict(1, &edits, &[7.0], &[Output::risk()])
            .expect("fits")[0];
        assert!(
            result == expected || result.is_nan() && expected.is_nan(),
            "{change:?}: {result}"
        );
    };
    check(Change::Mask, 0.0, f32::NAN);
    check(Change::Typical, 0.0, 4.0);
    check(Change::Set, 3.0, 3.0);
    check(Change::Add, 3.0, 13.0);
    check(Change::Scale, 0.5, 5.0);
    check(Change::AtMost, 3.0, 3.0);
    check(Change::AtMost, 30.0, 10.0);
    check(Change::AtLeast, 30.0, 30.0);
    check(Change::Replace, 0.0, 7.0);
    let code = |edit| {
        window
            .predict(1, &[edit], &[], &[Output::risk()])
            .expect_err("refused")
            .code
    };
    assert_eq!(code(Edit::mask(0, 0, 0..2)), "invalid_edit");
    assert_eq!(code(Edit::mask(1, 0, 0..1)), "invalid_edit");
    assert_eq!(code(Edit::mask(0, 1, 0..1)), "unknown_metric");
    assert_eq!(code(Edit::replace(0, 0, 0..1, 0)), "invalid_edit");
}

/// Restarts, at most once per incident.
struct Restart;

impl Remediation for Restart {
    type Config = ();

    fn new((): ()) -> Result<Self, Error> {
        Ok(Self)
    }

    fn plan(&self, host: &Host, incident: &Incident, finding: &Finding) -> Result<Proposal, Error> {
        let earlier = host.incidents(&[("entity", &incident.entity), ("state", "resolved")], 10)?;
        let facts = host.incident_facts(&incident.id)?;
        Ok(Proposal {
            action: "restart".into(),
            title: format!("restart {}", incident.entity),
            description: format!(
                "{}; {} earlier incidents; {} facts",
                finding.cause,
                earlier.len(),
                facts.len()
            ),
            diff: String::new(),
            parameters: vec![Pair::new("server", incident.entity.as_str())],
            risk: "medium".into(),
            token: Vec::new(),
        })
    }

    fn apply(
        &self,
        host: &Host,
        incident: &Incident,
        _proposal: &Proposal,
        approval: &Approval,
    ) -> Result<Progress, Error> {
        let first =
            host.state()
                .compare_and_set(&approval.idempotency_key, None, "begun", Some(3600))?;
        if first {
            Request::post("runner", "restart")
                .json(&incident.entity)
                .send(host)?
                .require_success()?;
        }
        self.status(host, &incident.entity)
    }

    fn status(&self, _host: &Host, reference: &str) -> Result<Progress, Error> {
        Ok(Progress {
            reference: reference.to_owned(),
            state: "done".into(),
            message: String::new(),
            link: String::new(),
            effective: String::new(),
        })
    }
}

argus_plugin::remediation!(Restart);

#[test]
fn a_remediation_acts_once_per_key_and_forgets_in_time() {
    let mut resolved = testing::incident();
    resolved.id = "incident-0".into();
    resolved.state = "resolved".into();
    let incident = testing::incident();
    let host = testing::Host::new()
        .respond("runner", 202, "")
        .with_incident(resolved, Vec::new())
        .with_incident(incident.clone(), vec![Pair::new("odds", "87 %")]);
    let restart: Restart = testing::remediation(json!(null)).expect("settings");
    let finding = Finding {
        cause: "leak".into(),
        confidence: 0.9,
        location: String::new(),
        evidence: String::new(),
        commit: String::new(),
        diff: String::new(),
        explanation: String::new(),
        risk: "low".into(),
        side_effects: String::new(),
        rollback: String::new(),
    };
    let proposal = restart.plan(&host, &incident, &finding).expect("a plan");
    assert_eq!(proposal.description, "leak; 1 earlier incidents; 1 facts");
    let approval = Approval {
        idempotency_key: "k".into(),
        by: "policy".into(),
        automatic: false,
        dry_run: false,
    };
    for _ in 0..2 {
        restart
            .apply(&host, &incident, &proposal, &approval)
            .expect("applied");
    }
    assert_eq!(
        host.requests().len(),
        1,
        "the second attempt found the first"
    );
    host.advance_ms(3_600_001);
    restart
        .apply(&host, &incident, &proposal, &approval)
        .expect("applied");
    assert_eq!(host.requests().len(), 2, "the state has expired");
    assert_eq!(
        restart
            .undo(&host, &incident, "r")
            .expect_err("cannot")
            .code,
        "no_proposal"
    );
    assert_eq!(
        host.incident("nope").expect_err("unknown").code,
        "not_found"
    );
    assert_eq!(
        host.incidents(&[("colour", "red")], 1)
            .expect_err("odd")
            .code,
        "invalid_query"
    );
}

/// Blames the metric that rose most.
struct Blame;

impl Investigator for Blame {
    type Config = ();

    fn new((): ()) -> Result<Self, Error> {
        Ok(Self)
    }

    fn characterise(
        &self,
        host: &Host,
        facts: &thinking::Facts,
    ) -> Result<thinking::Characterisation, Error> {
        let (from, to) = (facts.onset_ms - 600_000, facts.onset_ms);
        let series = host.history(&facts.incident.entity, "cpu", Statistic::Mean, from, to, 0)?;
        Ok(thinking::Characterisation {
            pattern: "rise".into(),
            summary: format!(
                "{:?} from {}",
                series.values,
                host.entities("", 10).join(",")
            ),
        })
    }

    fn hypothesise(
        &self,
        _: &Host,
        _: &thinking::Facts,
        of: &thinking::Characterisation,
        _: &[thinking::Precedent],
    ) -> Result<Vec<thinking::Hypothesis>, Error> {
        Ok(vec![thinking::Hypothesis {
            title: of.pattern.clone(),
            cause: "leak".into(),
            description: String::new(),
            probability: 0.5,
        }])
    }

    fn ask(
        &self,
        _: &Host,
        _: &thinking::Facts,
        _: &[thinking::Hypothesis],
    ) -> Result<Vec<thinking::Question>, Error> {
        Ok(Vec::new())
    }

    fn weigh(
        &self,
        _: &Host,
        _: &thinking::Facts,
        _: &thinking::Hypothesis,
        _: &thinking::Question,
        _: &thinking::Evidence,
    ) -> Result<f64, Error> {
        Ok(0.0)
    }

    fn confirm(
        &self,
        _: &Host,
        _: &thinking::Facts,
        _: &[thinking::Hypothesis],
        _: &[thinking::Question],
        _: &[f64],
    ) -> Result<thinking::Verdict, Error> {
        Err(Error::retryable("model_busy", "later"))
    }

    fn propose_fix(
        &self,
        _: &Host,
        _: &thinking::Facts,
        _: &thinking::Hypothesis,
        _: &thinking::Verdict,
        _: &[thinking::Excerpt],
    ) -> Result<thinking::Fix, Error> {
        Err(Error::new("no_fix", "none"))
    }
}

argus_plugin::investigator!(Blame);

#[test]
fn an_investigator_reads_history() {
    let onset_ms = 1_770_000_000_000;
    let series = Series {
        start_ms: onset_ms - 300_000,
        step_secs: 300,
        values: vec![42.0],
    };
    let host = testing::Host::new().with_history("db-01", "cpu", series);
    let facts = thinking::Facts {
        incident: testing::incident(),
        signals: Vec::new(),
        onset_ms,
        suspect_commit: String::new(),
        context: Vec::new(),
    };
    let blame: Blame = testing::investigator(json!(null)).expect("settings");
    let first = blame.characterise(&host, &facts).expect("history");
    assert_eq!(first.summary, "[NaN, 42.0] from db-01");
    assert_eq!(
        blame.hypothesise(&host, &facts, &first, &[]).expect("one")[0].title,
        "rise"
    );
    let history =
        |entity, metric, from, to| host.history(entity, metric, Statistic::Maximum, from, to, 0);
    assert_eq!(
        history("nobody", "cpu", 0, 300_000)
            .expect_err("unknown")
            .code,
        "unknown_entity"
    );
    assert_eq!(
        history("db-01", "disk", 0, 300_000)
            .expect_err("unknown")
            .code,
        "unknown_metric"
    );
    assert_eq!(
        history("db-01", "cpu", 5, 5).expect_err("empty").code,
        "invalid_range"
    );
}

#[test]
fn state_keys_are_judged() {
    let host = testing::Host::new();
    assert_eq!(
        host.state().set("", "x", None).expect_err("empty").code,
        "invalid_key"
    );
    assert_eq!(
        host.state()
            .set(&"k".repeat(257), "x", None)
            .expect_err("long")
            .code,
        "invalid_key"
    );
    host.state().set("k", "x", None).expect("set");
    assert_eq!(host.state().get_text("k").as_deref(), Some("x"));
    assert!(
        !host
            .state()
            .compare_and_set("k", Some(b"y"), "z", None)
            .expect("compared")
    );
    host.state().remove("k").expect("removed");
    assert_eq!(host.state().get("k"), None);
}
