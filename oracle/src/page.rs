//! `report.html`: the day on one page that needs nothing but a browser.

use crate::summary::Summary;
use crate::table;
use optimizer::report::Report;

/// Looks of both pages.
pub(crate) const STYLE: &str = include_str!("../web/style.css");
/// What the charts stand on.
pub(crate) const PLOT: &str = include_str!("../web/plot.js");
/// Charts of both pages.
pub(crate) const CHARTS: &str = include_str!("../web/charts.js");
/// What both pages have in common around the charts.
pub(crate) const PAGE: &str = include_str!("../web/page.js");

/// The whole page in one string: looks, scripts and data inside, nothing fetched. It names drivers: it belongs to whoever
/// ran the day. A browser without scripts shows the terminal's tables instead.
pub fn render(report: &Report, summary: &Summary) -> String {
    let tables = format!("{}\n{}", table::sessions(report), table::sites(report));
    let data = serde_json::json!({ "report": report, "summary": summary });
    fill(
        include_str!("../web/report.html"),
        &[
            ("title", &escape_html(&format!("Provolt · {}", report.scenario))),
            ("style", STYLE),
            ("plot", PLOT),
            ("charts", CHARTS),
            ("page", PAGE),
            ("tables", &escape_html(&tables)),
            ("data", &escape_json(&data.to_string())),
        ],
    )
}

/// Replaces each `{{name}}` of the template once; what a value contains is not looked at again.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len() + values.iter().map(|(_, v)| v.len()).sum::<usize>());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let (name, tail) = after.split_once("}}").unwrap_or((after, ""));
        let value = values.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        filled.push_str(value.unwrap_or_default());
        rest = tail;
    }
    filled.push_str(rest);
    filled
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// JSON that no HTML parser mistakes for the end of its script: these three can only stand inside JSON strings.
fn escape_json(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_report::report;
    use crate::summary::ChainTotals;
    use std::time::Duration;

    #[test]
    fn hostile_names_stay_data() {
        let mut report = report(96);
        report.scenario = "</title><script>{{data}}".into();
        report.sessions[0].driver = "</script><script>alert(1)</script><!--".into();
        let summary = Summary::from_report(&report, ChainTotals::default(), Duration::ZERO);
        let page = render(&report, &summary);
        let scripts = include_str!("../web/report.html").matches("<script").count();
        assert_eq!(page.matches("<script").count(), scripts);
        assert_eq!(page.matches("</script").count(), scripts);
        assert!(page.contains("&lt;/title&gt;&lt;script&gt;{{data}}"));
    }

    #[test]
    fn data_comes_back_as_it_went_in() {
        let mut report = report(96);
        report.sessions[0].driver = "Zoë </script> & Søn".into();
        let summary = Summary::from_report(&report, ChainTotals::default(), Duration::ZERO);
        let page = render(&report, &summary);
        let (_, after) = page.split_once("type=\"application/json\">").expect("data");
        let (json, _) = after.split_once("</script>").expect("end of data");
        let data: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(serde_json::from_value::<Report>(data["report"].clone()).expect("report"), report);
    }

    #[test]
    fn the_page_fetches_nothing() {
        let report = report(96);
        let page = render(&report, &Summary::from_report(&report, ChainTotals::default(), Duration::ZERO));
        let page = page.replace("url(#", "");
        for word in ["src=", "href=\"http", "@import", "url(", "fetch(", "EventSource"] {
            assert!(!page.contains(word), "{word}");
        }
        assert!(!page.contains("{{"), "every placeholder is filled");
    }
}
