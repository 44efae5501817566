//! Drives a headless Chromium through its DevTools protocol: JSON messages over two pipes, each ended by a zero byte. For tests only.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// Longest time to wait for something on a page.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page, ended with the test.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: Option<String>,
    sent: u64,
    events: Vec<Value>,
    /// What the page's address begins with; it may make requests to addresses that begin alike.
    origin: String,
}

impl Browser {
    /// Starts Chromium with its files in `profile`; says so and returns none if it is not installed.
    pub fn start(profile: &Path) -> Option<Self> {
        let version =
            Command::new("chromium").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if version.is_err() {
            println!("skipped: no chromium on the PATH (Debian: apt-get install chromium)");
            return None;
        }
        // The protocol's pipes are descriptors 3 and 4; a browser that hangs is ended.
        let mut child = Command::new("timeout")
            .args(["150", "sh", "-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh", "chromium"])
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-pipe",
                "--no-first-run",
            ])
            .args(["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser =
            Self { child, input, output, session: None, sent: 0, events: Vec::new(), origin: String::new() };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", attach)["sessionId"].as_str().unwrap().to_owned();
        browser.session = Some(session);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Calls a method and returns its result; events that arrive in the meantime are kept.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut message = json!({"id": self.sent, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.input.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let message = self.receive();
            if message["id"] == self.sent {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
        }
    }

    fn receive(&mut self) -> Value {
        let mut message = Vec::new();
        self.output.read_until(0, &mut message).unwrap();
        assert_eq!(message.pop(), Some(0), "the browser has ended");
        let message: Value = serde_json::from_slice(&message).unwrap();
        if message["id"].is_null() {
            self.events.push(message.clone());
        }
        message
    }

    /// Opens a file at a width in pixels and a colour scheme, `light` or `dark`, and waits until it is loaded.
    pub fn open(&mut self, file: &Path, width: u32, scheme: &str) {
        self.open_address(&format!("file://{}", file.display()), width, scheme);
    }

    /// Opens an address, as [`open`](Self::open) does a file.
    pub fn open_address(&mut self, address: &str, width: u32, scheme: &str) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
        self.origin = address.split_inclusive('/').take(3).collect();
        self.events.clear();
        self.call("Page.navigate", json!({"url": address}));
        self.wait_until_loaded();
    }

    fn wait_until_loaded(&mut self) {
        let is_loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        while !self.events.iter().any(is_loaded) {
            self.receive();
        }
    }

    /// Returns the value of an expression on the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true on the page.
    pub fn wait_for(&mut self, expression: &str) {
        let begun = Instant::now();
        while self.value(expression) != true {
            assert!(begun.elapsed() < PATIENCE, "{expression} is not true");
            sleep(Duration::from_millis(50));
        }
    }

    /// Moves the pointer to a part, from 0 to 1, of the width of the element, in the middle of its height.
    pub fn point_at(&mut self, selector: &str, part: f64) {
        let (x, y) = self.place_of(selector, part);
        self.call("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": x, "y": y}));
    }

    /// Clicks into the middle of the element.
    pub fn click(&mut self, selector: &str) {
        let (x, y) = self.place_of(selector, 0.5);
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let click = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", click);
        }
    }

    /// Clicks an element that leads to another page, and waits until that is loaded.
    pub fn follow(&mut self, selector: &str) {
        self.events.clear();
        self.click(selector);
        self.wait_until_loaded();
    }

    /// Waits until the page was loaded again, which it does by itself.
    pub fn follow_reload(&mut self) {
        self.events.clear();
        self.wait_until_loaded();
    }

    /// Presses a key, such as `ArrowRight`, in the element.
    pub fn press(&mut self, selector: &str, key: &str) {
        self.value(&format!("document.querySelector({}).focus()", json!(selector)));
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({"type": kind, "key": key, "code": key}));
        }
    }

    fn place_of(&mut self, selector: &str, part: f64) -> (f64, f64) {
        let script = format!(
            "(() => {{ const it = document.querySelector({}); it.scrollIntoView({{block: 'center'}}); \
             const box = it.getBoundingClientRect(); return [box.left + {part} * box.width, box.top + box.height / 2]; }})()",
            json!(selector)
        );
        let place = self.value(&script);
        (place[0].as_f64().unwrap(), place[1].as_f64().unwrap())
    }

    /// Returns what went wrong on the page since it was opened: errors, warnings, and requests to anywhere but where the
    /// page is from.
    pub fn complaints(&mut self) -> Vec<String> {
        self.value("1"); // receives the events before its answer
        let is_own = |url: &str| url.starts_with(&self.origin) || url.starts_with("data:");
        let complaint = |event: &Value| match event["method"].as_str()? {
            "Runtime.exceptionThrown" | "Log.entryAdded" | "Runtime.consoleAPICalled" => {
                Some(event.to_string())
            }
            "Network.requestWillBeSent" => {
                let url = event["params"]["request"]["url"].as_str()?;
                (!is_own(url)).then(|| format!("a request for {url}"))
            }
            "Page.javascriptDialogOpening" => Some("a dialog".to_owned()),
            _ => None,
        };
        self.events.iter().filter_map(complaint).collect()
    }

    /// Saves a picture of the whole page in the folder that `REGATTA_SCREENSHOTS` names, if it is set.
    pub fn screenshot(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("REGATTA_SCREENSHOTS") else { return };
        self.value("scrollTo(0, 0)");
        let size = self.call("Page.getLayoutMetrics", json!({}))["cssContentSize"].clone();
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let picture =
            self.call("Page.captureScreenshot", json!({"captureBeyondViewport": true, "clip": clip}));
        fs::create_dir_all(&folder).unwrap();
        let file = Path::new(&folder).join(format!("{name}.png"));
        fs::write(file, BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()).unwrap();
    }

    /// Saves the page as it is printed, as PDF, in the folder that `REGATTA_SCREENSHOTS` names, if it is set. Returns its pages.
    pub fn print(&mut self, name: &str) {
        let data = self.call("Page.printToPDF", json!({"printBackground": true}));
        let Some(folder) = std::env::var_os("REGATTA_SCREENSHOTS") else { return };
        fs::write(
            Path::new(&folder).join(format!("{name}.pdf")),
            BASE64_STANDARD.decode(data["data"].as_str().unwrap()).unwrap(),
        )
        .unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        _ = self.input.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        _ = self.child.wait();
    }
}
