//! Fields and byte orders in words.

use senda_struct::{ByteOrder, Code, Field, FieldKind, Format};

use super::say;
use crate::lab::language::Language;

/// What a byte order means.
pub(super) fn byte_order(format: &Format, language: Language) -> String {
    let order = format.byte_order();
    let endian = endian(order);
    match order {
        ByteOrder::Native => say(
            language,
            format!("orden de bytes ({endian}), tamaños y alineación de esta máquina"),
            format!("byte order ({endian}), sizes and alignment of this machine"),
        ),
        ByteOrder::NativeStandard => say(
            language,
            format!(
                "orden de bytes de esta máquina ({endian}), que no es el de la red; tamaños estándar, sin alineación"
            ),
            format!(
                "byte order of this machine ({endian}), not of the network; standard sizes, no alignment"
            ),
        ),
        ByteOrder::Network => say(
            language,
            format!("orden de bytes de la red ({endian}); tamaños estándar, sin alineación"),
            format!("byte order of the network ({endian}); standard sizes, no alignment"),
        ),
        ByteOrder::Little => say(
            language,
            format!(
                "{endian}: primero el byte menos significativo; tamaños estándar, sin alineación"
            ),
            format!("{endian}: the least significant byte first; standard sizes, no alignment"),
        ),
        ByteOrder::Big => say(
            language,
            format!(
                "{endian}: primero el byte más significativo; tamaños estándar, sin alineación"
            ),
            format!("{endian}: the most significant byte first; standard sizes, no alignment"),
        ),
    }
}

/// What a field is, in few words: with the eight bytes of a `d` beside it a table still fits 80 columns.
pub(super) fn field(format: &Format, field: &Field, language: Language) -> String {
    let code = match field.kind {
        FieldKind::Padding => {
            return say(language, "relleno, pedido con x", "padding, asked for by x");
        }
        FieldKind::Alignment => return gap(format, field, language),
        FieldKind::Value(code) => code,
    };
    kind(code, field.size, language)
}

/// Why there is a gap.
fn gap(format: &Format, field: &Field, language: Language) -> String {
    let letter = char::from(format.text().as_bytes().get(field.at).copied().unwrap_or(b'?'));
    let alignment = Code::from_letter(letter).map_or(1, |code| code.alignment(format.byte_order()));
    say(
        language,
        format!("hueco: {letter} se alinea a {alignment}"),
        format!("gap: {letter} aligns to {alignment}"),
    )
}

fn kind(code: Code, size: usize, language: Language) -> String {
    let bits = 8 * size;
    match code {
        Code::Char => say(language, "un byte suelto", "a single byte"),
        Code::Bool => say(language, "booleano", "boolean"),
        Code::Half | Code::Float | Code::Double => say(
            language,
            format!("coma flotante, {bits} bits"),
            format!("floating point, {bits} bits"),
        ),
        Code::Bytes => say(
            language,
            format!("texto o bytes, {size} en total"),
            format!("text or bytes, {size} of them"),
        ),
        Code::Pascal => {
            let most = size.saturating_sub(1).min(255);
            say(
                language,
                format!("cadena de Pascal: su longitud y hasta {most} bytes"),
                format!("Pascal string: its length and up to {most} bytes"),
            )
        }
        Code::Pointer => {
            say(language, format!("dirección, {bits} bits"), format!("address, {bits} bits"))
        }
        Code::SignedChar
        | Code::Short
        | Code::Int
        | Code::Long
        | Code::LongLong
        | Code::SignedSize => say(
            language,
            format!("entero con signo, {bits} bits"),
            format!("signed integer, {bits} bits"),
        ),
        Code::UnsignedChar
        | Code::UnsignedShort
        | Code::UnsignedInt
        | Code::UnsignedLong
        | Code::UnsignedLongLong
        | Code::Size => say(
            language,
            format!("entero sin signo, {bits} bits"),
            format!("unsigned integer, {bits} bits"),
        ),
    }
}

fn endian(order: ByteOrder) -> &'static str {
    if order.is_little_endian() { "little-endian" } else { "big-endian" }
}
