//! Figures as people read them.

use super::reading::Reading;

/// A figure with three digits or so: `2.31 M`.
pub(super) fn count(value: f64) -> String {
    scaled(value, 1_000.0, &["", " k", " M", " G"])
}

/// A size: `3.86 GiB`.
pub(super) fn bytes(value: f64) -> String {
    scaled(value, 1_024.0, &[" B", " KiB", " MiB", " GiB", " TiB"])
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut place = 0;
    while value >= step && place + 1 < units.len() {
        value /= step;
        place += 1;
    }
    let digits = match value {
        _ if place == 0 && value.fract() == 0.0 => 0,
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{}", units[place])
}

/// A time: `250 µs`, `4.10 ms`, `3 h 12 min`.
pub(super) fn duration(seconds: f64) -> String {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 60.0 * MINUTE;
    const DAY: f64 = 24.0 * HOUR;
    let two = |large: f64, name: &str, small: f64, of: &str| {
        format!(
            "{:.0} {name} {:.0} {of}",
            (seconds / large).floor(),
            (seconds % large / small).floor()
        )
    };
    match seconds {
        s if s.is_infinite() => "beyond".to_owned(),
        s if s <= 0.0 => "0 s".to_owned(),
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s if s < MINUTE => format!("{s:.1} s"),
        s if s < HOUR => two(MINUTE, "min", 1.0, "s"),
        s if s < DAY => two(HOUR, "h", MINUTE, "min"),
        _ => two(DAY, "d", HOUR, "h"),
    }
}

/// A term of an asset's supply, exact, in whole units and their fraction.
pub(super) fn of_supply(reading: &Reading, term: &str, asset: &str) -> String {
    let named = |term: &str| format!("bezant_supply_{term}{{asset=\"{asset}\"}}");
    let Some(minor) = reading.text(&named(term)) else {
        return "–".to_owned();
    };
    let scale = reading.text(&named("scale")).and_then(|scale| scale.parse().ok());
    match (minor.parse(), scale) {
        (Ok(units), Some(scale)) => protocol::amount::format_signed(units, scale),
        // Beyond 128 bits with a sign, or not a number: as the frame says it.
        _ => minor.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn figures_are_short() {
        for (value, shown) in
            [(0.0, "0"), (7.0, "7"), (0.25, "0.25"), (999.0, "999"), (2_310_000.0, "2.31 M")]
        {
            assert_eq!(count(value), shown);
        }
        assert_eq!(count(5e12), "5000 G");
        assert_eq!(bytes(512.0), "512 B");
        assert_eq!(bytes(3.5 * 1_048_576.0), "3.50 MiB");
        for (value, shown) in [
            (0.000_25, "250 µs"),
            (0.004_1, "4.10 ms"),
            (2.0, "2.0 s"),
            (75.0, "1 min 15 s"),
            (11_520.0, "3 h 12 min"),
            (200_000.0, "2 d 7 h"),
            (-3.0, "0 s"),
            (f64::INFINITY, "beyond"),
        ] {
            assert_eq!(duration(value), shown);
        }
    }

    #[test]
    fn amounts_lose_no_digit() {
        let page = "bezant_epoch 1\nbezant_supply_scale{asset=\"1\"} 6\n\
                    bezant_supply_issued{asset=\"1\"} 170141183460469231731687303715884105727\n\
                    bezant_supply_delta{asset=\"1\"} -5\nbezant_supply_held{asset=\"1\"} NaN\n";
        let reading = Reading::parse(Instant::now(), page).unwrap();
        let issued = "170141183460469231731687303715884.105727";
        assert_eq!(of_supply(&reading, "issued", "1"), issued);
        assert_eq!(of_supply(&reading, "delta", "1"), "-0.000005");
        assert_eq!(of_supply(&reading, "held", "1"), "NaN");
        assert_eq!(of_supply(&reading, "issued", "2"), "–");
    }
}
