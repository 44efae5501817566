//! Drives a headless Chromium through its DevTools protocol: JSON messages over two pipes, each ended by a zero byte.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// A browser with one page, ended with the test.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: Option<String>,
    sent: u64,
    events: Vec<Value>,
}

impl Browser {
    /// Starts Chromium with its files in `profile`; none if it is not installed.
    pub(crate) fn start(profile: &Path) -> Option<Self> {
        Command::new("chromium")
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .ok()?;
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
        let mut browser = Self { child, input, output, session: None, sent: 0, events: Vec::new() };
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
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
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
    pub(crate) fn open(&mut self, file: &Path, width: u32, scheme: &str) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
        self.events.clear();
        self.call("Page.navigate", json!({"url": format!("file://{}", file.display())}));
        let is_loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        while !self.events.iter().any(is_loaded) {
            self.receive();
        }
    }

    /// Returns the value of an expression on the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Moves the pointer to a part, from 0 to 1, of the width of the element, in the middle of its height.
    pub(crate) fn point_at(&mut self, selector: &str, part: f64) {
        let (x, y) = self.place_of(selector, part);
        self.call("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": x, "y": y}));
    }

    /// Clicks into the middle of the element.
    pub(crate) fn click(&mut self, selector: &str) {
        let (x, y) = self.place_of(selector, 0.5);
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let click = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", click);
        }
    }

    /// Presses a key, such as `ArrowRight`, in the element.
    pub(crate) fn press(&mut self, selector: &str, key: &str) {
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

    /// Returns what went wrong on the page since it was opened: errors, warnings, and requests for anything but the file itself.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        let is_own = |url: &str| url.starts_with("file://") || url.starts_with("data:");
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
        self.value("1");
        self.events.iter().filter_map(complaint).collect()
    }

    /// Saves a picture of the whole page in the folder that `REGATTA_SCREENSHOTS` names, if it is set.
    pub(crate) fn screenshot(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("REGATTA_SCREENSHOTS") else { return };
        self.value("scrollTo(0, 0)");
        let size = self.call("Page.getLayoutMetrics", json!({}))["cssContentSize"].clone();
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let picture =
            self.call("Page.captureScreenshot", json!({"captureBeyondViewport": true, "clip": clip}));
        fs::create_dir_all(&folder).unwrap();
        let file = Path::new(&folder).join(format!("{name}.png"));
        fs::write(file, from_base64(picture["data"].as_str().unwrap())).unwrap();
    }

    /// Saves the page as it is printed, as PDF, in the folder that `REGATTA_SCREENSHOTS` names, if it is set. Returns its pages.
    pub(crate) fn print(&mut self, name: &str) {
        let data = self.call("Page.printToPDF", json!({"printBackground": true}));
        let Some(folder) = std::env::var_os("REGATTA_SCREENSHOTS") else { return };
        fs::write(
            Path::new(&folder).join(format!("{name}.pdf")),
            from_base64(data["data"].as_str().unwrap()),
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

/// Decodes base 64 (RFC 4648).
fn from_base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let group = |group: &[u8]| {
        let digits: Vec<u8> = group.iter().copied().filter(|&byte| byte != b'=').map(digit).collect();
        let bits = digits.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit))
            << (6 * (4 - digits.len()));
        bits.to_be_bytes()[1..digits.len()].to_vec()
    };
    text.as_bytes().chunks(4).flat_map(group).collect()
}
