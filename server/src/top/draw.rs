//! The screen of `bezant top`: panels of figures, each one of `docs/reference/metrics.md`.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table, Widget as _};

use super::text::{bytes, count, duration, of_supply};
use super::view::View;

/// Lines of a panel's border and heading.
const HEADING: u16 = 3;
/// Assets shown; the page of supply has all of them.
const ASSETS_MAX: usize = 6;
/// Refusals shown, the most frequent first.
const REASONS_MAX: usize = 8;
/// Share of a table's places above which it is marked, as by the alert on it.
const NEARLY_FULL: f64 = 0.8;

/// Draws all of it into `area`; what has no room is cut off from below.
pub(super) fn screen(view: &View, area: Rect, buffer: &mut Buffer) {
    let assets = view.now().rows("bezant_supply_delta", "asset").count().min(ASSETS_MAX);
    let heights = [2, 7, 8, 11, lines(assets), lines(REASONS_MAX)].map(Constraint::Length);
    let [head, chart, stages, writers, supply, limits] = Layout::vertical(heights).areas(area);
    draw_head(view, head, buffer);
    draw_chart(view, chart, buffer);
    let [left, right] = halves(stages);
    draw_requests(view, left, buffer);
    draw_stages(view, right, buffer);
    let [left, right] = halves(writers);
    draw_journal(view, left, buffer);
    draw_settlement(view, right, buffer);
    draw_supply(view, supply, buffer);
    let [left, right] = halves(limits);
    draw_limits(view, left, buffer);
    draw_refusals(view, right, buffer);
}

/// Height of a panel with so many rows.
fn lines(rows: usize) -> u16 {
    u16::try_from(rows).unwrap_or(u16::MAX - HEADING) + HEADING
}

fn halves(area: Rect) -> [Rect; 2] {
    Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area)
}

fn draw_head(view: &View, area: Rect, buffer: &mut Buffer) {
    let now = view.now();
    let is_ready = now.number("bezant_ready") > 0.0;
    let state =
        if is_ready { " READY ".black().on_green() } else { " NOT READY ".white().on_red() };
    let title = Line::from_iter([
        "bezant ".bold(),
        Span::raw(now.label("bezant_build_info", "version").unwrap_or("?").to_owned()),
        Span::raw(format!("  frame {}", now.label("bezant_frame_info", "frame").unwrap_or("?"))),
        Span::raw(format!("  epoch {}", now.number("bezant_epoch"))),
        Span::raw(format!("  up {}  ", duration(now.number("bezant_uptime_seconds")))),
        state,
    ]);
    let failing: Vec<_> = now
        .rows("bezant_check_ok", "check")
        .filter(|(_, ok)| *ok != "1")
        .map(|(check, _)| check)
        .collect();
    let below = match view.problem() {
        Some(problem) => Line::from(problem.to_owned()).red(),
        None if view.is_paused => Line::from("paused; space goes on").yellow(),
        None if !failing.is_empty() => Line::from(format!("fails: {}", failing.join(", "))).red(),
        None => Line::from(format!(
            "memory {}, processor {:.0} %    q leaves, space pauses",
            bytes(now.number("process_resident_memory_bytes")),
            view.rate("process_cpu_seconds_total") * 100.0,
        )),
    };
    Paragraph::new(vec![title, below]).render(area, buffer);
}

fn draw_chart(view: &View, area: Rect, buffer: &mut Buffer) {
    let title = format!(
        " commands a second: {}, in {} requests ",
        count(view.commands()),
        count(view.rate("bezant_engine_requests_total")),
    );
    let rates = view.rates(usize::from(area.width.saturating_sub(2)));
    Sparkline::default().block(Block::bordered().title(title)).data(rates).render(area, buffer);
}

fn draw_requests(view: &View, area: Rect, buffer: &mut Buffer) {
    let doors = ["quic", "https"].into_iter().flat_map(|door| {
        ["write", "read"].map(|kind| {
            let labels = format!("door=\"{door}\",kind=\"{kind}\"");
            let name = "bezant_request_seconds";
            let rate = view.rate(&format!("{name}_count{{{labels}}}"));
            row([format!("{door} {kind}"), count(rate)], view, name, &labels)
        })
    });
    let name = "bezant_journal_sync_seconds";
    let rate = count(view.rate("bezant_journal_sync_seconds_count"));
    let syncs = row(["journal sync".to_owned(), rate], view, name, "");
    panel(area, buffer, " time ", ["of", "a second", "p50 ≤", "p99 ≤"], doors.chain([syncs]));
}

/// The cells in front, then the quantiles of a histogram.
fn row<'a>(front: [String; 2], view: &View, name: &str, labels: &str) -> Row<'a> {
    let quantile = |q| view.quantile(name, labels, q).map_or_else(|| "–".to_owned(), duration);
    let [of, rate] = front;
    Row::new([of, rate, quantile(0.5), quantile(0.99)])
}

fn draw_stages(view: &View, area: Rect, buffer: &mut Buffer) {
    let now = view.now();
    let rows = ["journal", "sync", "engine"].map(|stage| {
        let of = |name: &str| format!("{name}{{stage=\"{stage}\"}}");
        let busy = view.rate(&of("bezant_stage_working_seconds_total")) * 100.0;
        let waits = now.number(&format!("bezant_queue_depth{{queue=\"{stage}\"}}"));
        let stalled = now.number(&of("bezant_stage_stalled_seconds"));
        let labels = format!("stage=\"{stage}\"");
        let step = view.quantile("bezant_stage_step_seconds", &labels, 0.99);
        let cells = [
            stage.to_owned(),
            format!("{busy:.0} %"),
            count(waits),
            step.map_or_else(|| "–".to_owned(), duration),
        ];
        Row::new(cells).style(marked(stalled > 0.0))
    });
    panel(area, buffer, " stages ", ["stage", "busy", "waiting", "step p99 ≤"], rows);
}

fn draw_journal(view: &View, area: Rect, buffer: &mut Buffer) {
    let now = view.now();
    let size = |name: &str| bytes(now.number(name));
    let written = view.rate("bezant_journal_payload_bytes_total");
    let rows = [
        pair("written a second", bytes(written), false),
        pair("records a second", count(view.rate("bezant_journal_records_total")), false),
        pair("segments", count(now.number("bezant_journal_segments")), false),
        pair("size", size("bezant_journal_size_bytes"), false),
        pair(
            "free on its disk",
            size("bezant_journal_disk_free_bytes"),
            now.number("bezant_journal_full") > 0.0,
        ),
        pair("behind the snapshot", size("bezant_snapshot_behind_bytes"), false),
        pair("snapshots kept", count(now.number("bezant_snapshots_kept")), false),
        pair(
            "certificate ends in",
            duration(now.number("bezant_identity_expires_in_seconds")),
            now.number("bezant_identity_expires_in_seconds") <= 0.0,
        ),
    ];
    panel(area, buffer, " journal and upkeep ", ["", ""], rows);
}

fn draw_settlement(view: &View, area: Rect, buffer: &mut Buffer) {
    let now = view.now();
    if now.text("bezant_settlement_lag_seconds").is_none() {
        let text = Paragraph::new("this frame settles to no database");
        text.block(Block::bordered().title(" settlement ")).render(area, buffer);
        return;
    }
    let time = |name: &str| duration(now.number(name));
    let alarm =
        now.rows("bezant_settlement_alarm_raised", "alarm").find(|(_, raised)| *raised == "1");
    let stop = now.rows("bezant_settlement_stopped", "reason").find(|(_, stopped)| *stopped == "1");
    let rows = [
        pair("lag", time("bezant_settlement_lag_seconds"), alarm.is_some()),
        pair("commands to settle", count(now.number("bezant_settlement_lag_commands")), false),
        pair("time between cuts", time("bezant_settlement_interval_seconds"), false),
        pair("batches a second", count(view.rate("bezant_settlement_batches_total")), false),
        pair("rows a second", count(view.rate("bezant_settlement_rows_total")), false),
        pair("failures", count(now.number("bezant_settlement_failures_total")), false),
        pair("alarm", alarm.map_or("none", |(name, _)| name).to_owned(), alarm.is_some()),
        pair("stopped", stop.map_or("no", |(name, _)| name).to_owned(), stop.is_some()),
    ];
    panel(area, buffer, " settlement ", ["", ""], rows);
}

fn draw_supply(view: &View, area: Rect, buffer: &mut Buffer) {
    let now = view.now();
    let rows = now.rows("bezant_supply_delta", "asset").take(ASSETS_MAX).map(|(asset, delta)| {
        let shown = |term| of_supply(now, term, asset);
        let is_sound = delta == "0";
        let cells = [
            asset.to_owned(),
            shown("circulating"),
            shown("held"),
            shown("issued"),
            shown("destroyed"),
            if is_sound { "OK".to_owned() } else { format!("BREACH {}", shown("delta")) },
        ];
        Row::new(cells).style(marked(!is_sound))
    });
    let heading = ["asset", "circulating", "held", "issued", "destroyed", "delta"];
    let is_halted = now.number("bezant_mint_halted") > 0.0;
    let title = if is_halted { " supply: the mint is halted " } else { " supply " };
    panel(area, buffer, title, heading, rows);
}

fn draw_limits(view: &View, area: Rect, buffer: &mut Buffer) {
    let now = view.now();
    let rows = now.rows("bezant_limit_used", "table").map(|(table, used)| {
        let places = now.number(&format!("bezant_limit_capacity{{table=\"{table}\"}}"));
        let used: f64 = used.parse().unwrap_or(0.0);
        let share = if places > 0.0 { used / places } else { 0.0 };
        let cells = [table.to_owned(), count(used), format!("{:.1} %", share * 100.0)];
        Row::new(cells).style(marked(share > NEARLY_FULL))
    });
    panel(area, buffer, " tables ", ["table", "used", "of its places"], rows);
}

fn draw_refusals(view: &View, area: Rect, buffer: &mut Buffer) {
    let now = view.now();
    let mut refusals: Vec<(&str, f64)> = now
        .rows("bezant_commands_refused_total", "reason")
        .map(|(reason, refused)| (reason, refused.parse().unwrap_or(0.0)))
        .filter(|(_, refused)| *refused > 0.0)
        .collect();
    refusals.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let rows = refusals.into_iter().take(REASONS_MAX).map(|(reason, refused)| {
        let name = format!("bezant_commands_refused_total{{reason=\"{reason}\"}}");
        Row::new([reason.to_owned(), count(refused), count(view.rate(&name))])
    });
    let title = format!(
        " refused; {} connections, {} feeds open ",
        count(now.number("bezant_gateway_connections_open")),
        count(now.number("bezant_gateway_feeds_open")),
    );
    panel(area, buffer, &title, ["reason", "in all", "a second"], rows);
}

fn pair<'a>(of: &'a str, value: String, is_marked: bool) -> Row<'a> {
    Row::new([of.to_owned(), value]).style(marked(is_marked))
}

fn marked(is_marked: bool) -> Style {
    if is_marked { Style::new().red().bold() } else { Style::new() }
}

fn panel<'a, const N: usize>(
    area: Rect,
    buffer: &mut Buffer,
    title: &str,
    heading: [&'a str; N],
    rows: impl IntoIterator<Item = Row<'a>>,
) {
    let block = Block::bordered().title(title.to_owned());
    let mut table = Table::new(rows, [Constraint::Fill(1); N]).block(block);
    if heading.iter().any(|name| !name.is_empty()) {
        table = table.header(Row::new(heading).style(Style::new().dim()));
    }
    table.render(area, buffer);
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::reading::Reading;
    use super::*;

    const SOUND: &str = "bezant_epoch 3\nbezant_ready 1\nbezant_uptime_seconds 75\n\
        bezant_frame_info{frame=\"018f\"} 1\nbezant_build_info{version=\"0.1\"} 1\n\
        bezant_supply_scale{asset=\"1\"} 2\nbezant_supply_circulating{asset=\"1\"} 12345\n";

    fn view(pages: &[String]) -> View {
        let start = Instant::now();
        let mut readings = pages.iter().zip(0..).map(|(page, second)| {
            Reading::parse(start + Duration::from_secs(second), page).unwrap()
        });
        let mut view = View::of(readings.next().unwrap());
        readings.for_each(|reading| view.take(reading));
        view
    }

    fn drawn(view: &View, width: u16, height: u16) -> String {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        screen(view, area, &mut buffer);
        let lines = buffer.content().chunks(usize::from(width));
        lines.map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
    }

    #[test]
    fn figures_stand_in_their_panels() {
        let page = |commands: u64, refused: u64| {
            format!(
                "{SOUND}bezant_supply_delta{{asset=\"1\"}} 0\n\
                 bezant_engine_commands_total {commands}\n\
                 bezant_stage_working_seconds_total{{stage=\"engine\"}} 0.{refused}\n\
                 bezant_commands_refused_total{{reason=\"busy\"}} {refused}\n\
                 bezant_limit_used{{table=\"ids\"}} 90\n\
                 bezant_limit_capacity{{table=\"ids\"}} 100\n"
            )
        };
        let screen = drawn(&view(&[page(0, 1), page(2_500_000, 6)]), 110, 52);
        for shown in [
            "bezant 0.1  frame 018f  epoch 3  up 1 min 15 s   READY",
            "commands a second: 2.50 M",
            "50 %",
            "123.45",
            "OK",
            "90.0 %",
            "busy",
            "this frame settles to no database",
        ] {
            assert!(screen.contains(shown), "{shown} in\n{screen}");
        }
    }

    #[test]
    fn trouble_stands_in_the_head_and_a_breach_at_its_asset() {
        let page = format!(
            "{}bezant_check_ok{{check=\"journal\"}} 0\nbezant_mint_halted 1\n\
             bezant_supply_delta{{asset=\"1\"}} -5\n",
            SOUND.replace("ready 1", "ready 0")
        );
        let mut view = view(&[page]);
        let screen = drawn(&view, 110, 52);
        for shown in ["NOT READY", "fails: journal", "BREACH -0.05", "the mint is halted"] {
            assert!(screen.contains(shown), "{shown} in\n{screen}");
        }
        view.is_paused = true;
        assert!(drawn(&view, 110, 52).contains("paused"));
        view.fail("no frame answers".to_owned());
        assert!(drawn(&view, 110, 52).contains("no frame answers"));
    }

    #[test]
    fn any_size_is_drawn() {
        let view = view(&[SOUND.to_owned()]);
        for (width, height) in [(0, 0), (1, 1), (20, 5), (80, 24), (300, 100)] {
            drawn(&view, width.max(1), height.max(1));
        }
    }
}
