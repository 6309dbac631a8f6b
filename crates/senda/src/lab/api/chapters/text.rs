//! Characters and bytes.

use super::super::programs::Programs;
use super::super::tour::{Chapter, Fact, Step, Text, is};
use super::connection;
use crate::lab::sockets::diag::State;

pub(super) const CHAPTER: Chapter = Chapter {
    name: "text",
    title: Text { es: "el texto se envía como bytes", en: "text is sent as bytes" },
    steps: &STEPS,
    programs: Programs {
        c: include_str!("../programs/text.c"),
        python: include_str!("../programs/text.py"),
        rust: include_str!("../programs/text.rs"),
    },
};

/// Three characters.
const TEXT: &str = "año";

const STEPS: [Step; 4] = [
    Step {
        name: "encode",
        title: Text { es: "3 caracteres, 4 bytes", en: "3 characters, 4 bytes" },
        explanation: Text {
            es: "Un socket lleva bytes, no caracteres. UTF-8 es el acuerdo habitual: las letras de ASCII ocupan un \
                 byte, la ñ dos (c3 b1). Python distingue str de bytes y hay que llamar a encode; un &str de Rust ya es \
                 UTF-8 por dentro, y una cadena de C son bytes sin más.",
            en: "A socket carries bytes, not characters. UTF-8 is the usual agreement: the letters of ASCII take one \
                 byte, ñ takes two (c3 b1). Python tells str from bytes and one has to call encode; a &str of Rust is \
                 UTF-8 inside already, and a string of C is just bytes.",
        },
        introduces: &[],
        perform: |_| {
            let characters = Fact::Number("characters", TEXT.chars().count());
            Ok(vec![characters, Fact::Hex("bytes", TEXT.into())])
        },
        kernel: &[],
    },
    Step {
        name: "send",
        title: Text { es: "send cuenta bytes", en: "send counts bytes" },
        explanation: Text {
            es: "Por una conexión como la del capítulo tcp. send dice 4, no 3: todas las longitudes de la API son bytes.",
            en: "Over a connection like that of the chapter tcp. send says 4, not 3: all lengths of the API are bytes.",
        },
        introduces: &[],
        perform: |world| {
            connection(world)?;
            Ok(vec![Fact::Number("send", world.send("client", TEXT.as_bytes())?)])
        },
        kernel: &[is("conn", State::Established).with(4)],
    },
    Step {
        name: "half",
        title: Text { es: "media ñ", en: "half an ñ" },
        explanation: Text {
            es: "Un recv puede acabar en mitad de un carácter. Estos dos bytes, 61 c3, no son UTF-8 válido: \
                 decodificarlos ahora sería un error. Primero se junta el mensaje entero, y después se decodifica.",
            en: "A recv may end in the middle of a character. These two bytes, 61 c3, are no valid UTF-8: decoding them \
                 now would be an error. First one puts the whole message together, then one decodes it.",
        },
        introduces: &[],
        perform: |world| Ok(vec![Fact::Hex("recv", world.recv("conn", 2)?)]),
        kernel: &[is("conn", State::Established).with(2)],
    },
    Step {
        name: "whole",
        title: Text { es: "y la otra media", en: "and the other half" },
        explanation: Text {
            es: "Con los cuatro bytes juntos el texto vuelve a ser el mismo (equal = 1).",
            en: "With the four bytes together the text is the same again (equal = 1).",
        },
        introduces: &[],
        perform: |world| {
            let rest = world.recv("conn", 1024)?;
            let first = TEXT.as_bytes().get(..2).unwrap_or_default();
            let equal = str::from_utf8(&[first, &rest].concat()) == Ok(TEXT);
            Ok(vec![Fact::Hex("recv", rest), Fact::Number("equal", equal.into())])
        },
        kernel: &[is("conn", State::Established).with(0)],
    },
];
