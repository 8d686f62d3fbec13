//! `bezant top`: the live figures of the running frame in a terminal. It reads `/metrics` of the
//! admin door, as Prometheus does, and knows nothing else. Invariant: what is shown is of two
//! readings of the same process; after a restart of the frame it begins anew.

mod draw;
mod reading;
mod text;
mod view;

use std::io::{self, IsTerminal as _};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;

use self::reading::Reading;
use self::view::View;
use crate::asking;
use crate::cli::TopArgs;
use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};

/// Screen of `--once`: every panel has room.
const ONCE: Rect = Rect::new(0, 0, 110, 52);

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Leave,
    Pause,
}

/// Shows the figures until the user leaves, or once.
pub(crate) fn run(config: &Config, args: &TopArgs) -> Result<(), Failure> {
    let every = Duration::from_millis(args.interval_ms);
    let mut view = View::of(read(config)?);
    if args.once {
        thread::sleep(every);
        view.take(read(config)?);
        return print(&view);
    }
    if !io::stdout().is_terminal() {
        let message = "standard output is no terminal: `bezant top --once` prints the figures";
        return Err(Failure::new(Exit::Usage, message.to_owned()));
    }
    let mut terminal = ratatui::try_init().or_exit(Exit::Io, "cannot set up the terminal")?;
    let shown = show(&mut terminal, config, &mut view, every);
    ratatui::try_restore().or_exit(Exit::Io, "cannot restore the terminal")?;
    shown.or_exit(Exit::Io, "terminal")
}

fn read(config: &Config) -> Result<Reading, Failure> {
    let answer = asking::admin_door(config.admin, "/metrics")?;
    Reading::parse(Instant::now(), &answer.body).ok_or_else(|| {
        let message = format!("what answers at {} is no frame", config.admin);
        Failure::new(Exit::Temporary, message)
    })
}

/// The loop of the terminal: a reading every so often, keys at once.
fn show(
    terminal: &mut DefaultTerminal,
    config: &Config,
    view: &mut View,
    every: Duration,
) -> io::Result<()> {
    let mut next = Instant::now() + every;
    loop {
        terminal.draw(|frame| draw::screen(view, frame.area(), frame.buffer_mut()))?;
        let is_key = event::poll(next.saturating_duration_since(Instant::now()))?;
        if is_key && let Event::Key(key) = event::read()? {
            match wish(key) {
                Some(Wish::Leave) => return Ok(()),
                Some(Wish::Pause) => view.is_paused = !view.is_paused,
                None => {}
            }
        }
        if Instant::now() < next {
            continue;
        }
        next = Instant::now() + every;
        if !view.is_paused {
            match read(config) {
                Ok(reading) => view.take(reading),
                Err(Failure { message, .. }) => view.fail(message),
            }
        }
    }
}

fn wish(key: KeyEvent) -> Option<Wish> {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        _ if key.kind == KeyEventKind::Release => None,
        KeyCode::Char('c') if is_control => Some(Wish::Leave),
        KeyCode::Char('q') | KeyCode::Esc => Some(Wish::Leave),
        KeyCode::Char(' ' | 'p') => Some(Wish::Pause),
        _ => None,
    }
}

/// The screen as lines of text.
fn print(view: &View) -> Result<(), Failure> {
    let mut screen = Buffer::empty(ONCE);
    draw::screen(view, ONCE, &mut screen);
    for line in screen.content().chunks(usize::from(ONCE.width)) {
        let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        say!("{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_leave_and_pause() {
        let key = |code, modifiers| wish(KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(Wish::Leave));
        assert_eq!(key(KeyCode::Esc, KeyModifiers::NONE), Some(Wish::Leave));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::Leave));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(key(KeyCode::Char(' '), KeyModifiers::NONE), Some(Wish::Pause));
    }
}
