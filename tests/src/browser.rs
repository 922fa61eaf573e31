//! Chromium, without a window.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cdp::Cdp;
use crate::{LogCapture, Observed, PATIENCE, PageServer, eventually};

const CHROMIUM: &str = "/usr/bin/chromium";

/// Makes the page keep what its scripts `note` until it is asked for.
const NOTEBOOK: &str = "
    window.notes = []; window.asked = [];
    window.note = what => { const ask = asked.shift(); ask ? ask(what) : notes.push(what); };
    window.nextNote = () => new Promise(give => notes.length ? give(notes.shift()) : asked.push(give));
";

/// A browser with one page of an origin of its own.
pub struct Browser {
    child: Child,
    cdp: Cdp,
    page: PageServer,
    log: LogCapture,
    _profile: TempDir,
}

impl Browser {
    /// Starts it and opens a blank page that `page` serves.
    pub async fn start(page: PageServer) -> Self {
        assert!(Path::new(CHROMIUM).is_file(), "there is no {CHROMIUM}: run dev/setup first");
        let profile = TempDir::with_prefix("fanfare-chromium-").expect("a temporary directory can be made");
        let log = LogCapture::default();
        let mut child = Command::new(CHROMIUM)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Chromium starts");
        log.follow(child.stderr.take().expect("stderr is piped"));
        let file = profile.path().join("DevToolsActivePort");
        let (port, path) = eventually("Chromium to listen", PATIENCE, || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            std::future::ready(text.split_once('\n').and_then(|(port, path)| {
                // The second line is written last: without it the file is not complete.
                (!path.is_empty()).then(|| Some((port.parse().ok()?, path.trim().to_owned())))?
            }))
        })
        .await;
        let cdp = Cdp::connect(port, &path).await;
        let mut browser = Self { child, cdp, page, log, _profile: profile };
        let origin = browser.page.origin();
        browser.cdp.open_page(&origin).await;
        browser.run(NOTEBOOK).await;
        browser
    }

    /// Evaluates `script` in the page, waits if it gives a promise, and gives its value.
    pub async fn run(&mut self, script: &str) -> Value {
        let params = json!({"expression": script, "awaitPromise": true, "returnByValue": true});
        let answer = self.cdp.call("Runtime.evaluate", params).await;
        assert!(answer.get("exceptionDetails").is_none(), "{script}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Opens a native `EventSource` that notes everything.
    pub async fn event_source(&mut self, url: &str, names: &[&str], with_credentials: bool) {
        let script = format!(
            "window.es = new EventSource({}, {{withCredentials: {with_credentials}}});
             es.onopen = () => note('open');
             es.onerror = () => note(es.readyState === 2 ? 'end' : {{error: 'reconnecting'}});
             for (const name of {}) es.addEventListener(name, e =>
                 note({{event: {{name: e.type, data: e.data, id: e.lastEventId}}}}));
             undefined",
            json!(url),
            json!(names)
        );
        self.run(&script).await;
    }

    /// Opens a native `WebSocket` that notes everything.
    pub async fn web_socket(&mut self, url: &str, subprotocol: Option<&str>) {
        let script = format!(
            "window.ws = new WebSocket({}, {});
             ws.onopen = () => note('open');
             ws.onmessage = e => note({{frame: e.data}});
             ws.onclose = e => note({{closed: {{code: e.code, reason: e.reason}}}});
             undefined",
            json!(url),
            subprotocol.map_or(json!([]), |name| json!(name))
        );
        self.run(&script).await;
    }

    /// Calls a method with npm `grpc-web`, as one that streams, and notes every message. The messages are described by
    /// the files in `protos`, read by npm `protobufjs`.
    pub async fn grpc_web(&mut self, url: &str, protos: &Path, method: &str, token: &str, request: &Value) {
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/node/node_modules");
        let read = |path: &Path| {
            std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}: run dev/setup first", path.display()))
        };
        self.run(&format!("{}; undefined", read(&modules.join("protobufjs/dist/protobuf.js")))).await;
        let library = read(&modules.join("grpc-web/index.js"));
        self.run(&format!("window.grpcWeb = (exports => {{ {library}; return exports }})({{}}); undefined")).await;
        let files: Vec<String> = ["event", "session", "events"]
            .iter()
            .map(|name| read(&protos.join(format!("fanfare/v1/{name}.proto"))))
            .collect();
        let script = format!(
            "const root = new protobuf.Root();
             for (const file of {files}) protobuf.parse(file, root, {{keepCase: true}});
             root.resolveAll();
             const [service, name] = {method}.split('/');
             const method = root.lookupService('fanfare.v1.' + service).methods[name].resolve();
             const [asked, answered] = [method.resolvedRequestType, method.resolvedResponseType];
             const descriptor = new grpcWeb.MethodDescriptor('/fanfare.v1.' + service + '/' + name,
                 grpcWeb.MethodType.SERVER_STREAMING, Object, Object,
                 request => asked.encode(asked.fromObject(request)).finish(), bytes => answered.decode(bytes));
             // Only the text form streams in every browser.
             const client = new grpcWeb.GrpcWebClientBase({{format: 'text'}});
             const stream = client.serverStreaming({url} + '/fanfare.v1.' + service + '/' + name, {request},
                 {{authorization: 'Bearer ' + {token}}}, descriptor);
             stream.on('data', message => note({{frame: JSON.stringify(
                 answered.toObject(message, {{longs: Number, enums: String, bytes: String}}))}}));
             stream.on('error', error => note({{error: error.code + ' ' + error.message}}));
             stream.on('end', () => note('end'));
             undefined",
            files = json!(files),
            method = json!(method),
            url = json!(url),
            request = request,
            token = json!(token),
        );
        self.run(&format!("(() => {{ {script} }})()")).await;
    }

    /// Sends a frame over the page's `WebSocket`.
    pub async fn send(&mut self, frame: &str) {
        self.run(&format!("ws.send({})", json!(frame))).await;
    }

    /// Sets a cookie for the server at 127.0.0.1, on every port.
    pub async fn set_cookie(&mut self, name: &str, value: &str, url: &str) {
        let cookie = json!({"name": name, "value": value, "url": url, "secure": true, "sameSite": "None"});
        self.cdp.call("Network.setCookie", cookie).await;
    }

    /// What the page's scripts noted next.
    pub async fn next(&mut self) -> Observed {
        let note = self.run("nextNote()").await;
        serde_json::from_value(note.clone()).unwrap_or_else(|error| panic!("{error} in the note {note}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Either fails only if the process has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.log.show("chromium");
        }
    }
}
