//! The status page for people: the figures of `/status` as one table, without scripts.

use std::fmt::Write as _;

use serde_json::Value;

const HEAD: &str = r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>CosmicSync supernode</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;color:#1a1a24;background:#fafafc}
h1{font-size:1.4rem}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .5rem;border-bottom:1px solid #ddd;
vertical-align:top}th{font-weight:500;color:#556;width:12rem}td{overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.good{color:#07713b}.bad{color:#a5162b}@media(prefers-color-scheme:dark){body{color:#e6e6ee;background:#14141c}
th{color:#99a}th,td{border-color:#333}.good{color:#5fd39a}.bad{color:#ff8090}}</style></head><body>"#;

/// The page that shows `status`.
pub(super) fn page(status: &Value) -> String {
    let ready = status.get("ready").and_then(Value::as_bool) == Some(true);
    let (class, word) = if ready { ("good", "ready") } else { ("bad", "not ready") };
    let mut page = format!("{HEAD}<h1>Supernode <span class=\"{class}\">{word}</span></h1><table>");
    rows(&mut page, "", status);
    page.push_str(
        "</table><p><a href=\"/metrics\">metrics</a> · <a href=\"/status\">JSON</a></p></body></html>",
    );
    page
}

fn rows(page: &mut String, prefix: &str, value: &Value) {
    let Some(fields) = value.as_object() else { return };
    for (name, value) in fields {
        let name = format!("{prefix}{}", name.replace('_', " "));
        match value {
            Value::Object(inner) if inner.is_empty() => row(page, &name, "none"),
            Value::Object(_) => rows(page, &format!("{name}: "), value),
            Value::Array(items) => {
                let texts: Vec<String> = items.iter().map(text).collect();
                row(page, &name, &texts.join(", "));
            }
            _ => row(page, &name, &text(value)),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn row(page: &mut String, name: &str, value: &str) {
    #[expect(clippy::expect_used, reason = "writing to a String is infallible")]
    writeln!(page, "<tr><th>{}</th><td>{}</td></tr>", escaped(name), escaped(value))
        .expect("memory takes text");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::page;

    #[test]
    fn what_a_peer_could_choose_is_shown_as_text() {
        let shown =
            page(&json!({ "ready": true, "ring": { "members": 6 }, "troubles": { "store": "<b>full</b>" } }));
        assert!(shown.contains("<th>ring: members</th><td>6</td>"));
        assert!(shown.contains("&lt;b&gt;full&lt;/b&gt;") && !shown.contains("<b>"));
        assert!(shown.contains("class=\"good\">ready"));
    }
}
