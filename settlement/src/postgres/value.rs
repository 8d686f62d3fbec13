//! Binary forms of `uuid`, `numeric` and their arrays for parameters, and of rows for COPY. Whole
//! numbers only; exact to 256 bits.

use std::error::Error;

use bytes::{BufMut, Bytes, BytesMut};
use protocol::wide::Wide;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// An id as `uuid`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uuid(pub(super) u128);

impl ToSql for Uuid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_u128(self.0);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::UUID
    }

    to_sql_checked!();
}

/// A whole number as `numeric`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numeric {
    negative: bool,
    magnitude: Wide,
}

impl From<u128> for Numeric {
    fn from(value: u128) -> Self {
        Wide::from(value).into()
    }
}

impl From<i128> for Numeric {
    fn from(value: i128) -> Self {
        Self { negative: value < 0, magnitude: Wide::from(value.unsigned_abs()) }
    }
}

impl From<Wide> for Numeric {
    fn from(magnitude: Wide) -> Self {
        Self { negative: false, magnitude }
    }
}

/// Digits of base 10 000 in a 256-bit number.
const GROUPS_MAX: usize = 20;
const GROUP: u16 = 10_000;
const NEGATIVE: i16 = 0x4000;
/// Bytes of COPY sent at a time: few enough to stay in a core's own cache on their way.
const PIECE_SIZE: usize = 16 << 10;
/// Bytes of the longest value with its length: a number of 20 groups.
const VALUE_SIZE_MAX: usize = 4 + NUMBER_SIZE_MAX;
/// Bytes of the longest number.
const NUMBER_SIZE_MAX: usize = 8 + 2 * GROUPS_MAX;
/// Columns of the widest row.
const COLUMNS_MAX: usize = 14;

impl Numeric {
    /// Digits of base 10 000, least significant first, and how many there are.
    fn groups(self) -> ([u16; GROUPS_MAX], usize) {
        let mut groups = [0; GROUPS_MAX];
        let mut count = 0;
        let mut push = |group: u16| {
            groups[count] = group;
            count += 1;
        };
        let mut wide = self.magnitude;
        while wide.high != 0 {
            push(divide(&mut wide));
        }
        let mut large = wide.low;
        while large > u128::from(u64::MAX) {
            push(low_group(large % u128::from(GROUP)));
            large /= u128::from(GROUP);
        }
        let mut small = u64::try_from(large).expect("the loop above left 64 bits");
        while small != 0 {
            push(low_group(u128::from(small % u64::from(GROUP))));
            small /= u64::from(GROUP);
        }
        (groups, count)
    }
}

fn low_group(group: u128) -> u16 {
    u16::try_from(group).expect("a remainder of 10 000 has 14 bits")
}

/// Divides by 10 000 and gives the remainder.
fn divide(wide: &mut Wide) -> u16 {
    let low_half = u128::from(u64::MAX);
    let mut rest = 0;
    let mut limbs = [wide.high >> 64, wide.high & low_half, wide.low >> 64, wide.low & low_half];
    for limb in &mut limbs {
        let value = (rest << 64) | *limb;
        *limb = value / u128::from(GROUP);
        rest = value % u128::from(GROUP);
    }
    wide.high = (limbs[0] << 64) | limbs[1];
    wide.low = (limbs[2] << 64) | limbs[3];
    low_group(rest)
}

impl Numeric {
    /// Its bytes, and how many of them there are.
    fn bytes(self) -> ([u8; NUMBER_SIZE_MAX], usize) {
        let (groups, count) = self.groups();
        let len = i16::try_from(count).expect("at most 20 groups");
        // Weight of the first group; of zero it is 0 by convention. No digits after the point.
        let head = [len, (len - 1).max(0), if self.negative { NEGATIVE } else { 0 }, 0];
        let mut bytes = [0; NUMBER_SIZE_MAX];
        let groups = groups[..count].iter().rev().map(|group| group.to_be_bytes());
        let head = head.into_iter().map(i16::to_be_bytes);
        for (place, field) in bytes.chunks_exact_mut(2).zip(head.chain(groups)) {
            place.copy_from_slice(&field);
        }
        (bytes, 8 + 2 * count)
    }
}

impl ToSql for Numeric {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let (bytes, len) = self.bytes();
        out.put_slice(&bytes[..len]);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::NUMERIC
    }

    to_sql_checked!();
}

/// A value of one of the types that many rows have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    /// NULL.
    Null,
    /// `smallint`.
    Small(i16),
    /// `integer`.
    Integer(i32),
    /// `bigint`.
    Big(i64),
    /// `uuid`.
    Id(u128),
    /// `numeric`.
    Amount(Numeric),
}

impl Value {
    /// `NULL` for 0: nobody.
    pub(super) const fn named(id: u128) -> Self {
        if id == 0 { Self::Null } else { Self::Id(id) }
    }

    pub(super) fn amount(value: impl Into<Numeric>) -> Self {
        Self::Amount(value.into())
    }

    /// The type that an array of such values has, and their own.
    const fn types(self) -> Option<(Type, Type)> {
        match self {
            Self::Null => None,
            Self::Small(_) => Some((Type::INT2_ARRAY, Type::INT2)),
            Self::Integer(_) => Some((Type::INT4_ARRAY, Type::INT4)),
            Self::Big(_) => Some((Type::INT8_ARRAY, Type::INT8)),
            Self::Id(_) => Some((Type::UUID_ARRAY, Type::UUID)),
            Self::Amount(_) => Some((Type::NUMERIC_ARRAY, Type::NUMERIC)),
        }
    }

    /// The length, then the bytes, as arrays and COPY want them.
    fn put(self, out: &mut impl BufMut) {
        match self {
            Self::Null => out.put_i32(-1),
            Self::Small(value) => {
                out.put_i32(2);
                out.put_i16(value);
            }
            Self::Integer(value) => {
                out.put_i32(4);
                out.put_i32(value);
            }
            Self::Big(value) => {
                out.put_i32(8);
                out.put_i64(value);
            }
            Self::Id(id) => {
                out.put_i32(16);
                out.put_u128(id);
            }
            Self::Amount(number) => {
                let (bytes, len) = number.bytes();
                out.put_i32(i32::try_from(len).expect("a number takes 48 bytes"));
                out.put_slice(&bytes[..len]);
            }
        }
    }
}

/// One column of many rows, as an array. No value of it may be NULL, nor of another type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Array<'a, R> {
    pub(super) rows: &'a [R],
    pub(super) field: fn(&R) -> Value,
}

impl<R: std::fmt::Debug> ToSql for Array<'_, R> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let first = self.rows.first().ok_or("an array needs a row")?;
        let (array, element) = (self.field)(first).types().ok_or("an array needs a type")?;
        if array != *ty {
            return Err("the array is of another type".into());
        }
        // One dimension, no NULL, the type, so many from 1.
        out.put_i32(1);
        out.put_i32(0);
        out.put_u32(element.oid());
        out.put_i32(i32::try_from(self.rows.len())?);
        out.put_i32(1);
        for row in self.rows {
            (self.field)(row).put(out);
        }
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        let arrays = [Type::INT8_ARRAY, Type::UUID_ARRAY, Type::NUMERIC_ARRAY];
        arrays.contains(ty)
    }

    to_sql_checked!();
}

/// Rows in the binary form of COPY, handed out in pieces.
#[derive(Debug)]
pub(super) struct CopyRows {
    buffer: BytesMut,
}

impl CopyRows {
    /// With the head of the stream: signature, no flags, no extension.
    pub(super) fn new() -> Self {
        let mut buffer = BytesMut::with_capacity(2 * PIECE_SIZE);
        buffer.put_slice(b"PGCOPY\n\xff\r\n\0");
        buffer.put_i32(0);
        buffer.put_i32(0);
        Self { buffer }
    }

    /// Adds a row of at most [`COLUMNS_MAX`] values.
    pub(super) fn row(&mut self, values: &[Value]) {
        let mut line = [0; 2 + COLUMNS_MAX * VALUE_SIZE_MAX];
        let mut rest = &mut line[..];
        rest.put_i16(i16::try_from(values.len()).expect("a row has few columns"));
        for value in values {
            value.put(&mut rest);
        }
        let unused = rest.len();
        self.buffer.put_slice(&line[..line.len() - unused]);
    }

    /// What was written, once it is worth sending.
    pub(super) fn piece(&mut self) -> Option<Bytes> {
        (self.buffer.len() >= PIECE_SIZE).then(|| {
            self.buffer.reserve(2 * PIECE_SIZE);
            self.buffer.split().freeze()
        })
    }

    /// The rest, with the end of the stream.
    pub(super) fn finish(mut self) -> Bytes {
        self.buffer.put_i16(-1);
        self.buffer.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(number: Numeric) -> String {
        let (groups, count) = number.groups();
        let digits: String =
            groups[..count].iter().rev().map(|group| format!("{group:04}")).collect();
        let digits = match digits.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        };
        format!("{}{digits}", if number.negative { "-" } else { "" })
    }

    proptest! {
        #[test]
        fn the_groups_are_the_digits(high: u128, low: u128, signed: i128, small: u64) {
            let wide = Wide { high, low };
            prop_assert_eq!(text(wide.into()), wide.to_string());
            prop_assert_eq!(text(low.into()), low.to_string());
            prop_assert_eq!(text(signed.into()), signed.to_string());
            prop_assert_eq!(text(u128::from(small).into()), small.to_string());
        }
    }

    #[test]
    fn the_ends_of_each_range_are_exact() {
        for value in [0, 1, 9_999, 10_000, u128::from(u64::MAX), u128::MAX] {
            assert_eq!(text(value.into()), value.to_string());
        }
        for value in [i128::MIN, -1, 0, i128::MAX] {
            assert_eq!(text(value.into()), value.to_string());
        }
        let largest = Wide { high: u128::MAX, low: u128::MAX };
        assert_eq!(text(largest.into()), largest.to_string());
    }

    #[test]
    fn the_bytes_are_those_of_postgres() {
        let mut out = BytesMut::new();
        Numeric::from(-12_345_i128).to_sql(&Type::NUMERIC, &mut out).unwrap();
        assert_eq!(out[..], [0, 2, 0, 1, 0x40, 0, 0, 0, 0, 1, 9, 41]);
        out.clear();
        Numeric::from(0_u128).to_sql(&Type::NUMERIC, &mut out).unwrap();
        assert_eq!(out[..], [0; 8]);
    }

    #[test]
    fn an_array_is_of_one_type_and_has_its_values_in_order() {
        let mut out = BytesMut::new();
        let array = Array { rows: &[3_i64, -1], field: |row| Value::Big(*row) };
        array.to_sql(&Type::INT8_ARRAY, &mut out).unwrap();
        let head = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 2, 0, 0, 0, 1];
        assert_eq!(out[..20], head);
        assert_eq!(out[20..32], [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(out[32..], [0, 0, 0, 8, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert!(array.to_sql(&Type::UUID_ARRAY, &mut out).is_err());
    }

    #[test]
    fn a_copied_row_says_how_long_each_value_is() {
        let mut rows = CopyRows::new();
        rows.row(&[Value::Null, Value::Small(7), Value::Integer(-2), Value::amount(10_001_u128)]);
        assert_eq!(rows.piece(), None);
        let bytes = rows.finish();
        assert_eq!(bytes[..19], *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        let row = [0, 4, 255, 255, 255, 255, 0, 0, 0, 2, 0, 7, 0, 0, 0, 4, 255, 255, 255, 254];
        assert_eq!(bytes[19..39], row);
        assert_eq!(bytes[39..55], [0, 0, 0, 12, 0, 2, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1]);
        assert_eq!(bytes[55..], [255, 255]);
    }
}
