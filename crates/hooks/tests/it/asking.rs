//! Questions as a session puts them, and what is counted of the answers.

use std::net::SocketAddr;
use std::sync::Arc;

use fanfare_hooks::{Application, Error, Options, metrics};
use fanfare_model::{Data, Draft, EventId, EventName, Headers, SessionId, SystemClock, Tenant, Topic, UserId};
use fanfare_session::{Allow, Ask, Hook, Hooks as _, Protocol, Verdict};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// An application that is asked as this configuration says.
pub(crate) struct Asking {
    pub(crate) application: Application,
    metrics: PrometheusHandle,
}

impl Asking {
    pub(crate) fn new(configuration: &str) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        // The handles are made with the application.
        let application = ::metrics::with_local_recorder(&recorder, || set_up(configuration)).unwrap().unwrap();
        Self { application, metrics: recorder.handle() }
    }

    /// One hook of this name at `url`, with more lines for the hook and for the section. Answers are waited for for longer
    /// than by default unless `of_hook` says otherwise: a busy machine must not be taken for an application that fails.
    pub(crate) fn at(hook: Hook, url: &str, of_hook: &str, of_section: &str) -> Self {
        let patience = if of_hook.contains("timeout") { "" } else { "timeout = \"30s\"\n" };
        let of_hook = format!("{patience}{of_hook}");
        Self::new(&format!("{of_section}\n[{}]\nurl = \"{url}\"\n{of_hook}", hook.as_str()))
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Verdict {
        assert!(self.application.wants(ask.hook, ask.topic.as_ref()));
        self.application.ask(ask).await
    }

    /// How many questions ended so.
    pub(crate) fn counted(&self, hook: Hook, outcome: &str) -> u64 {
        let name = format!("{}{{hook=\"{}\",outcome=\"{outcome}\"}} ", metrics::ASKED, hook.as_str());
        let page = self.metrics.render();
        page.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |value| value.parse().unwrap())
    }
}

pub(crate) fn set_up(configuration: &str) -> Result<Option<Application>, Error> {
    let options: Options = toml::from_str(configuration).unwrap();
    Application::new(&options, Arc::new(SystemClock))
}

pub(crate) fn url(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}

/// What alice's browser wants.
pub(crate) fn ask(hook: Hook) -> Ask {
    let info = serde_json::value::RawValue::from_string("{\"role\":\"guest\"}".to_owned()).unwrap();
    let is_about_topic = matches!(hook, Hook::Subscribe | Hook::Publish);
    Ask {
        hook,
        tenant: Tenant::default(),
        session: Some(SessionId::new("s1").unwrap()),
        user: Some(UserId::new("alice").unwrap()),
        protocol: Protocol::WebSocket,
        address: Some([192, 0, 2, 7].into()),
        client: Some("web/1.2".into()),
        info: Some(info.into()),
        topic: is_about_topic.then(|| Topic::new("chat:42").unwrap()),
        draft: (hook == Hook::Publish).then(draft),
    }
}

pub(crate) fn draft() -> Draft {
    let mut headers = Headers::new();
    headers.insert("lang", "en").unwrap();
    Draft {
        id: EventId::new("event-1").unwrap(),
        name: Some(EventName::new("message").unwrap()),
        user: Some(UserId::new("alice").unwrap()),
        source: Some(fanfare_model::Source::new("websocket").unwrap()),
        headers,
        ..Draft::new(Data::json(&b"{\"text\":\"hi\"}"[..]).unwrap())
    }
}

pub(crate) fn allowed(verdict: Verdict) -> Allow {
    match verdict {
        Verdict::Allow(allow) => allow,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn is_unavailable(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Unavailable)
}
