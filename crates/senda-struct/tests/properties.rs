//! No text and no bytes make it panic, and what is said of layouts holds for all of them.

use proptest::prelude::*;
use senda_struct::{ByteOrder, Code, FieldKind, Format, PackError, UnpackError, Value};

/// Layouts with more values are not walked.
const VALUES_MAX: usize = 10_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_panics_and_a_refusal_points_into_it(text in any_text()) {
        match Format::new(&text) {
            Ok(format) => {
                prop_assert_eq!(format.text(), text.as_str());
                prop_assert_eq!(senda_struct::calcsize(&text), Ok(format.size()));
            }
            Err(error) => {
                prop_assert!(error.at() < text.len(), "{} of {:?}", error.at(), text);
                prop_assert!(text.is_char_boundary(error.at()));
            }
        }
    }

    #[test]
    fn no_arguments_panic(
        text in any_text(),
        bytes in any_bytes(),
        offset in any::<isize>(),
        values in proptest::collection::vec(any_value(), 0..5),
    ) {
        let Ok(format) = Format::new(&text) else { return Ok(()) };
        let _ = format.unpack(&bytes);
        let _ = format.unpack_from(&bytes, offset);
        if let Ok(records) = format.iter_unpack(&bytes) {
            prop_assert_eq!(records.len(), bytes.len() / format.size());
        }
        let mut buffer = bytes;
        let _ = format.pack_into(&mut buffer, offset, &values);
        if format.size() < 1 << 20 {
            let _ = format.pack(&values);
        }
    }

    /// Every byte of a structure belongs to exactly one field, and every value has one.
    #[test]
    fn fields_are_the_whole_structure_without_overlap(text in good_text()) {
        let format = Format::new(&text).expect("good");
        prop_assume!(format.value_count() <= VALUES_MAX);
        let (mut end, mut values) = (0, 0);
        for field in format.fields() {
            prop_assert_eq!(field.offset, end, "{:?} of {}", field, text);
            end += field.size;
            let letter = char::from(text.as_bytes()[field.at]);
            match field.kind {
                FieldKind::Value(code) => {
                    prop_assert_eq!((field.index, code.letter()), (Some(values), letter));
                    prop_assert_eq!(field.offset % code.alignment(format.byte_order()), 0);
                    values += 1;
                }
                FieldKind::Padding => prop_assert_eq!((field.index, letter), (None, 'x')),
                FieldKind::Alignment => {
                    prop_assert!(field.index.is_none() && format.byte_order() == ByteOrder::Native);
                    prop_assert!(field.size > 0, "a gap of nothing");
                }
            }
        }
        prop_assert_eq!((end, values), (format.size(), format.value_count()));
    }

    /// What was unpacked packs, and that unpacks to the same: only padding, NaNs and what follows a short `p` are lost.
    #[test]
    fn what_was_unpacked_packs_to_the_same_values(text in good_text(), seed in any_bytes()) {
        let format = Format::new(&text).expect("good");
        prop_assume!(format.size() <= VALUES_MAX && format.value_count() <= VALUES_MAX);
        let bytes: Vec<u8> = seed.iter().copied().chain([0]).cycle().take(format.size()).collect();
        let values = format.unpack(&bytes).expect("as many bytes");
        prop_assert_eq!(values.len(), format.value_count());
        let packed = format.pack(&values).expect("values of this format");
        let again = format.unpack(&packed).expect("as many bytes");
        prop_assert_eq!(format!("{values:?}"), format!("{again:?}"));
        prop_assert_eq!(format.pack(&again).expect("the same values"), packed.clone());
        // The same, elsewhere and one after the other.
        let mut buffer = [&[0xaa; 3][..], &bytes, &[0xbb; 3]].concat();
        format.pack_into(&mut buffer, 3, &values).expect("it fits");
        prop_assert_eq!(&buffer, &[&[0xaa; 3][..], &packed, &[0xbb; 3]].concat());
        let back = -isize::try_from(format.size() + 3).expect("small");
        let found = format.unpack_from(&buffer, back).expect("it is there");
        prop_assert_eq!(format!("{found:?}"), format!("{again:?}"));
        if format.size() > 0 {
            let twice = packed.repeat(2);
            let records: Vec<_> = format.iter_unpack(&twice).expect("two of them").collect();
            prop_assert_eq!(format!("{records:?}"), format!("{:?}", [&again, &again]));
        }
    }
}

#[test]
fn a_refused_value_is_named_by_its_number_and_its_character() {
    let format = Format::new("<2x 3h ?").expect("good");
    let values = [Value::Int(1), Value::Int(2), Value::Float(3.0), Value::Int(0)];
    match format.pack(&values) {
        Err(PackError::Value { index: 2, at: 5, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_no_memory_is_enough_for_is_an_error_and_no_abort() {
    let padding = Format::new("9223372036854775807x").expect("within the limit");
    let size = padding.size();
    assert_eq!(padding.pack(&[]), Err(PackError::Memory { size }));
    let values = Format::new("9223372036854775807b").expect("within the limit");
    assert_eq!(values.unpack(&[1]), Err(UnpackError::Size { expected: size, got: 1 }));
    assert_eq!(values.fields().nth(1_000).map(|field| field.offset), Some(1_000));
}

#[test]
fn standard_formats_are_the_same_on_every_machine() {
    for code in Code::ALL {
        for order in
            [ByteOrder::NativeStandard, ByteOrder::Little, ByteOrder::Big, ByteOrder::Network]
        {
            assert_eq!(code.size(order).is_none(), code.is_native_only(), "{code:?}");
            assert_eq!(code.alignment(order), 1, "{code:?}");
        }
        assert!(code.size(ByteOrder::Native).is_some(), "{code:?}");
    }
}

/// Text of the characters that formats are made of and of others.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[@=<>!]?([0-9]{0,3}[ \tcbB?hHiIlLqQnNefdspPx]){0,12}",
        2 => "[@=<>!]?([0-9]{0,25}[cbB?hHiIlLqQnNefdspPx]){0,4}[0-9]{0,2}",
        2 => "[ -~]{0,12}",
        1 => "\\PC{0,8}",
        1 => any::<String>(),
    ]
}

/// Formats, for the most part small.
fn good_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[@=<>!]([0-9]{0,2}[cbB?hHiIlLqQefdspx] ?){0,12}",
        "@?([0-9]{0,2}[cbB?hHiIlLqQnNefdspPx] ?){0,12}",
        "@?[0-9]{1,4}[xsp][0-9]{0,3}[bhilq]",
    ]
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..64)
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i128>().prop_map(Value::Int),
        any::<i8>().prop_map(|small| Value::Int(small.into())),
        any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
        any::<bool>().prop_map(Value::Bool),
        any_bytes().prop_map(Value::Bytes),
    ]
}
