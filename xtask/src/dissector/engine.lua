-- ---------------------------------------------------------------- reading

-- Bytes of one message body, from first to last. Reading beyond the end raises what is wrong: a table, told apart from
-- a mistake in this file by being one.
local Reader = {}
Reader.__index = Reader

local function fault(text)
    error({ fault = text }, 0)
end

local function new_reader(tvb, first, last)
    return setmetatable({ tvb = tvb, at = first, stop = last }, Reader)
end

function Reader:left()
    return self.stop - self.at
end

-- The next bytes as a range of the packet.
function Reader:take(len, field)
    if len > self:left() then
        fault("the body ends within `" .. field .. "`")
    end
    local range = self.tvb(self.at, len)
    self.at = self.at + len
    return range
end

function Reader:number(len, field)
    return self:take(len, field):uint()
end

-- Bytes as a string of Lua; a range of no bytes has none.
local function raw(tvb, at, len)
    return len == 0 and "" or tvb:raw(at, len)
end

function Reader:string(len, field)
    self:take(len, field)
    return raw(self.tvb, self.at - len, len)
end

-- Lua 5.2 knows no UTF-8.
local function is_utf8(text)
    local at = 1
    while at <= #text do
        local first, second = text:byte(at, at + 1)
        local more, low, high = 0, 0x80, 0xBF
        if first >= 0xC2 and first <= 0xDF then
            more = 1
        elseif first >= 0xE0 and first <= 0xEF then
            more = 2
            low = first == 0xE0 and 0xA0 or low
            high = first == 0xED and 0x9F or high
        elseif first >= 0xF0 and first <= 0xF4 then
            more = 3
            low = first == 0xF0 and 0x90 or low
            high = first == 0xF4 and 0x8F or high
        elseif first >= 0x80 then
            return false
        end
        if more > 0 and (second == nil or second < low or second > high) then
            return false
        end
        for offset = 2, more do
            local byte = text:byte(at + offset)
            if byte == nil or byte < 0x80 or byte > 0xBF then
                return false
            end
        end
        at = at + 1 + more
    end
    return true
end

-- A length byte and that much UTF-8.
function Reader:text(field)
    local text = self:string(self:number(1, field), field)
    if not is_utf8(text) then
        fault("`" .. field .. "` has bytes that it may not have")
    end
    return text
end

-- Strings of Wireshark end at a NUL; other control characters are no better.
local function printable(text)
    return (text:gsub("[\0-\31\127]", function(byte)
        return ("\\x%02x"):format(byte:byte())
    end))
end

local function hex(bytes)
    return (bytes:gsub(".", function(byte)
        return ("%02x"):format(byte:byte())
    end))
end

-- ---------------------------------------------------------------- CRC-32 (§3.3)

local bxor, band, rshift
if bit32 then
    bxor, band, rshift = bit32.bxor, bit32.band, bit32.rshift
else -- Lua 5.3 and later have operators, which older ones can't even read.
    bxor = load("local a, b = ... return a ~ b")
    band = load("local a, b = ... return a & b")
    rshift = load("local a, b = ... return a >> b")
end

local CRC_TABLE = {}
for byte = 0, 255 do
    local crc = byte
    for _ = 1, 8 do
        crc = bxor(rshift(crc, 1), crc % 2 == 1 and 0xEDB88320 or 0)
    end
    CRC_TABLE[byte] = crc
end

local function crc32(bytes)
    local crc = 0xFFFFFFFF
    for at = 1, #bytes do
        crc = bxor(rshift(crc, 8), CRC_TABLE[band(bxor(crc, bytes:byte(at)), 0xFF)])
    end
    return bxor(crc, 0xFFFFFFFF)
end

-- ---------------------------------------------------------------- fields

local senda = Proto("senda", "Senda/1 telemetry")

-- Every field by its name; `senda.fields` gets them all at the end of this part.
local F = {}

local function declare(name, make, title, ...)
    F[name] = make("senda." .. name, title, ...)
end

local MAKE = {
    u8 = function(name, title) declare(name, ProtoField.uint8, title) end,
    u16 = function(name, title) declare(name, ProtoField.uint16, title) end,
    u32 = function(name, title) declare(name, ProtoField.uint32, title) end,
    u64 = function(name, title) declare(name, ProtoField.uint64, title) end,
    i64 = function(name, title) declare(name, ProtoField.int64, title) end,
    micros = function(name, title) declare(name, ProtoField.int64, title) end,
    hex32 = function(name, title) declare(name, ProtoField.uint32, title, base.HEX) end,
    hex64 = function(name, title) declare(name, ProtoField.uint64, title, base.HEX) end,
    zero = function(name, title) declare(name, ProtoField.bytes, title) end,
    code = function(name, title, names)
        declare(name, ProtoField.uint8, title, base.DEC, CODES[names])
    end,
    error_code = function(name, title) declare(name, ProtoField.uint16, title, base.DEC, ERRORS) end,
    bits8 = function(name, title, names)
        declare(name, ProtoField.uint8, title, base.HEX, nil, names == "flag" and 0x0F or 0xFF)
        for _, bit in ipairs(BITS[names]) do
            declare(name .. "." .. bit[2]:lower(), ProtoField.bool, bit[2], 8, nil, bit[1])
        end
    end,
    bits16 = function(name, title, names)
        declare(name, ProtoField.uint16, title, base.HEX)
        for _, bit in ipairs(BITS[names]) do
            declare(name .. "." .. bit[2]:lower(), ProtoField.bool, bit[2], 16, nil, bit[1])
        end
    end,
    clock_and_count = function(name)
        local message = name:match("^[^.]*%.") or ""
        declare(message .. "clock", ProtoField.uint16, "clock", base.DEC, CODES.clock, 0xC000)
        declare(message .. "count", ProtoField.uint16, "rows", base.DEC, nil, 0x3FFF)
    end,
    text = function(name, title) declare(name, ProtoField.string, title) end,
    bytes = function(name, title) declare(name, ProtoField.bytes, title) end,
    options = function() end, -- These have fields of their own, below.
    rows = function(name, title) declare(name, ProtoField.bytes, title) end,
    sparse_rows = function(name, title) declare(name, ProtoField.bytes, title) end,
    rest = function(name, title) declare(name, ProtoField.bytes, title) end,
    list = function(name, title) declare(name, ProtoField.uint8, title) end,
    ranges = function(name, title) declare(name, ProtoField.uint8, title) end,
    causes = function(name, title) declare(name, ProtoField.uint8, title) end,
}

-- The name in filters: `senda.hello.device`.
local function filter_name(message, field)
    local name = field[1]:gsub(" ", "_")
    return message and message.name:lower() .. "." .. name or name
end

for _, field in ipairs(HEADER) do
    MAKE[field[2]](filter_name(nil, field), field[1], field[3])
end
for _, message in pairs(MESSAGES) do
    for _, field in ipairs(message.fields) do
        MAKE[field[2]](filter_name(message, field), field[1], field[3])
    end
end

declare("body", ProtoField.bytes, "body")
declare("undecoded", ProtoField.bytes, "undecoded")
declare("crc", ProtoField.uint32, "crc", base.HEX)
declare("option", ProtoField.bytes, "option")
declare("option.type", ProtoField.uint8, "type", base.DEC, OPTIONS)
declare("option.value", ProtoField.bytes, "value")
declare("entry", ProtoField.bytes, "entry")
declare("entry.name", ProtoField.string, "name")
declare("entry.type", ProtoField.uint8, "type", base.DEC)
declare("entry.value", ProtoField.string, "value")
declare("range", ProtoField.bytes, "range")
declare("range.start", ProtoField.uint32, "start")
declare("range.end", ProtoField.uint32, "end")
declare("cause", ProtoField.bytes, "cause")
declare("cause.code", ProtoField.uint8, "cause", base.DEC, CODES.skip_cause)
declare("cause.count", ProtoField.uint64, "rows")
declare("row", ProtoField.bytes, "row")
declare("row.number", ProtoField.uint32, "number")
declare("row.time_offset", ProtoField.uint32, "time_offset")
declare("row.presence", ProtoField.bytes, "presence")
declare("sample", ProtoField.bytes, "sample")
declare("sample.channel", ProtoField.string, "channel")
declare("sample.value", ProtoField.string, "value")
declare("sample.number", ProtoField.double, "number")
declare("sample.unit", ProtoField.string, "unit")
declare("device", ProtoField.string, "device of this session")
declare("schema", ProtoField.string, "schema of these rows")

-- An array for Wireshark, in a fixed order.
local names = {}
for name in pairs(F) do
    names[#names + 1] = name
end
table.sort(names)
local fields = {}
for index, name in ipairs(names) do
    fields[index] = F[name]
end
senda.fields = fields

-- ---------------------------------------------------------------- what may be wrong

local E = {}
for name, what in pairs({
    bad_magic = { "not Senda/1 (§3.5)", expert.group.MALFORMED, expert.severity.ERROR },
    bad_length = { "length is not that of a whole message (§3.2)", expert.group.MALFORMED, expert.severity.ERROR },
    bad_trailer = { "the flags do not name the one trailer that is due (§3.3)", expert.group.MALFORMED, expert.severity.ERROR },
    bad_crc = { "CRC-32 is wrong (§3.3)", expert.group.CHECKSUM, expert.severity.ERROR },
    bad_body = { "malformed body (§5.26)", expert.group.MALFORMED, expert.severity.ERROR },
    bad_value = { "a value that its channel can't have: BAD_VALUE (§4.3)", expert.group.MALFORMED, expert.severity.WARN },
    wrong_direction = { "this message goes the other way (§5.25)", expert.group.PROTOCOL, expert.severity.WARN },
    cut = { "the message goes on beyond what was captured", expert.group.UNDECODED, expert.severity.NOTE },
    no_schema = { "no DECLARE of this schema in the capture: rows are bytes (§5.4)", expert.group.UNDECODED, expert.severity.NOTE },
}) do
    E[name] = ProtoExpert.new("senda.error." .. name, what[1], what[2], what[3])
end
senda.experts = E

-- ---------------------------------------------------------------- what the capture tells (§5.4)

-- Filled in the order of the capture, emptied for the next one.
local hellos, sessions, schemas, parts

local function forget()
    hellos, sessions, schemas, parts = {}, {}, {}, {}
end
senda.init = forget
forget()

-- The collector's end, as the type of the message tells; nil for types that both ends send.
local function collector_of(pinfo, message)
    if message.from == "device" then
        return ("%s|%d|%d"):format(tostring(pinfo.dst), pinfo.dst_port, pinfo.port_type)
    elseif message.from == "collector" then
        return ("%s|%d|%d"):format(tostring(pinfo.src), pinfo.src_port, pinfo.port_type)
    end
end

-- What schemas belong to: the stream where HELLO and WELCOME are in the capture, else the session.
local function owner_of(collector, session)
    local identity = sessions[collector .. "|" .. session]
    return identity and "stream " .. identity.stream or "session " .. collector .. "|" .. session
end

local function parse_channel(reader)
    local channel = { type = VALUE_TYPES[reader:number(1, "type")] or fault("type") }
    channel.exponent = reader:take(1, "exponent"):int()
    reader:take(1, "flags")
    channel.elements = reader:number(1, "elements")
    channel.max_len = reader:number(2, "max_len")
    channel.name = reader:text("name")
    channel.unit = reader:text("unit")
    channel.labels = {}
    if channel.type.name == "enum8" then
        for index = 0, reader:number(1, "labels") - 1 do
            channel.labels[index] = reader:text("label")
        end
    end
    if channel.elements == 0 then
        fault("elements")
    end
    return channel
end

-- A description (§4.2) as a table; nil if it is none.
local function parse_schema(description)
    local tvb = ByteArray.new(hex(description)):tvb("Senda schema")
    local good, schema = pcall(function()
        local reader = new_reader(tvb, 0, #description)
        local schema = { name = reader:text("name"), channels = {} }
        for index = 1, reader:number(2, "channels") do
            schema.channels[index] = parse_channel(reader)
        end
        return reader:left() == 0 and schema
    end)
    return good and schema or nil
end

-- Parts of a description come in any order; what an id meant first is what it means.
local function learn_schema(owner, id, body)
    local key = owner .. "|" .. id
    if schemas[key] or #body < 7 then
        return
    end
    local part, count = body:byte(1, 2)
    local crc = body:sub(3, 6)
    local known = parts[key]
    if not known or known.crc ~= crc or known.count ~= count then
        known = { crc = crc, count = count, bytes = {} }
        parts[key] = known
    end
    known.bytes[part] = body:sub(7)
    local whole = {}
    for index = 0, count - 1 do
        if not known.bytes[index] then
            return
        end
        whole[#whole + 1] = known.bytes[index]
    end
    local description = table.concat(whole)
    if Struct.pack(">I4", crc32(description)) == crc then
        schemas[key] = parse_schema(description)
    end
end

-- What HELLO, WELCOME and DECLARE tell.
local function learn(message, collector, session, seq, body)
    if message.name == "HELLO" and #body >= 47 then
        local device = body:sub(48, 47 + body:byte(47))
        hellos[collector .. "|" .. Struct.unpack(">I4", body:sub(13, 16))] =
            { stream = hex(body:sub(1, 8)), device = printable(device) }
    elseif message.name == "WELCOME" then
        sessions[collector .. "|" .. session] = hellos[collector .. "|" .. seq]
    elseif message.name == "DECLARE" then
        learn_schema(owner_of(collector, session), seq, body)
    end
end

local function find_schema(collector, session, id)
    return schemas[owner_of(collector, session) .. "|" .. id]
        or schemas["session " .. collector .. "|" .. session .. "|" .. id]
end

-- ---------------------------------------------------------------- values (§4.3)

-- raw × 10^exponent, exactly, from the digits of an integer.
local function scaled(digits, exponent)
    local sign, number = digits:match("^(-?)(%d+)$")
    if exponent == 0 or number == "0" then
        return digits
    elseif exponent > 0 then
        return digits .. ("0"):rep(exponent)
    end
    local places = -exponent
    number = ("0"):rep(places + 1 - #number) .. number
    local fraction = number:sub(-places):gsub("0+$", "")
    return sign .. number:sub(1, -places - 1) .. (fraction == "" and "" or "." .. fraction)
end

-- The shortest decimal that reads back as the same bits.
local function float_text(bytes)
    local form = #bytes == 4 and ">f" or ">d"
    local value = Struct.unpack(form, bytes)
    if value ~= value then
        return "NaN"
    elseif value == math.huge or value == -math.huge then
        return value > 0 and "inf" or "-inf"
    end
    for digits = 1, 17 do
        local text = ("%." .. digits .. "g"):format(value)
        if Struct.pack(form, tonumber(text)) == bytes then
            return (text:gsub(",", "."))
        end
    end
    return tostring(value)
end

local LIMITS = { inf = math.huge, ["-inf"] = -math.huge, NaN = 0 / 0 }

-- Microseconds as people read them, where they are a plausible date (§13.2).
local function date(micros)
    local number = micros:tonumber()
    if number < 946684800000000 then
        return ""
    end
    local seconds = math.floor(number / 1000000)
    local fraction = ("%06d"):format(number - seconds * 1000000)
    local good, text = pcall(os.date, "!%Y-%m-%dT%H:%M:%S", seconds)
    return good and (" (%s.%sZ)"):format(text, fraction) or ""
end

-- One scalar as text. `kind` is an entry of VALUE_TYPES.
local function scalar_text(kind, range, bytes, exponent)
    local name = kind.name
    if name == "f32" or name == "f64" then
        return float_text(bytes)
    elseif name == "bool" then
        return bytes:byte() == 0 and "false" or "true"
    elseif name == "i64" or name == "time" then
        return scaled(tostring(range:int64()), exponent)
    elseif name:sub(1, 1) == "i" then
        return scaled(tostring(range:int()), exponent)
    elseif name == "u64" then
        return scaled(tostring(range:uint64()), exponent)
    end
    return scaled(tostring(range:uint()), exponent)
end

-- Reads the value of a channel: its text, or nil where the bytes are no value of it. `max_len` and `labels` as in a
-- schema.
local function read_value(reader, channel)
    local kind = channel.type
    if kind.name == "text" then
        local text = reader:string(reader:number(1, "text"), "text")
        return is_utf8(text) and #text <= channel.max_len and printable(text) or nil
    elseif kind.name == "blob" then
        local bytes = reader:string(reader:number(2, "blob"), "blob")
        return #bytes <= channel.max_len and hex(bytes) or nil
    end
    local texts = {}
    for index = 1, channel.elements do
        local at = reader.at
        local range = reader:take(kind.size, "value")
        local bytes = raw(reader.tvb, at, kind.size)
        if kind.name == "bool" and bytes:byte() > 1 then
            return nil
        elseif kind.name == "enum8" and not channel.labels[bytes:byte()] then
            return nil
        end
        texts[index] = scalar_text(kind, range, bytes, channel.exponent)
    end
    return channel.elements == 1 and texts[1] or "[" .. table.concat(texts, ", ") .. "]"
end

local IS_INTEGER = { u8 = true, u16 = true, u32 = true, u64 = true, i8 = true, i16 = true, i32 = true, i64 = true }

local function is_number(kind)
    return IS_INTEGER[kind.name] or kind.name == "f32" or kind.name == "f64"
end

-- A named value (§4.4): name, type, text.
local function read_entry(reader)
    local name = reader:text("name")
    if #name > 127 or not name:match("^[a-z0-9_.]*$") then
        fault("`name` has bytes that it may not have")
    end
    local code = reader:number(1, "type")
    local channel = { type = VALUE_TYPES[code], max_len = 1024, labels = {} }
    if not channel.type or channel.type.name == "enum8" then
        fault("`type` is " .. code .. ", outside its range")
    end
    channel.exponent = reader:take(1, "exponent"):int()
    channel.elements = reader:number(1, "elements")
    local exponent_max = IS_INTEGER[channel.type.name] and 18 or 0
    local elements_max = is_number(channel.type) and 64 or 1
    if math.abs(channel.exponent) > exponent_max then
        fault("`exponent` is outside its range")
    elseif channel.elements == 0 or channel.elements > elements_max then
        fault("`elements` is outside its range")
    end
    local text = read_value(reader, channel)
    if not text then
        fault("`value` is outside its range")
    end
    return name, code, text
end

-- ---------------------------------------------------------------- the walk over a body

-- Shows a range from `first` to where the reader is.
local function from(reader, first)
    return reader.tvb(first, reader.at - first)
end

local function add_bits(tree, name, kind, names, range)
    local item = tree:add(F[name], range)
    for _, bit in ipairs(BITS[names]) do
        item:add(F[name .. "." .. bit[2]:lower()], range)
    end
end

local function add_sample(tree, reader, channel)
    local first = reader.at
    local text = read_value(reader, channel)
    local range = from(reader, first)
    local item = tree:add(F.sample, range)
    item:add(F["sample.channel"], range, channel.name):set_generated()
    if not text then
        item:set_text(channel.name .. ": no value of this channel")
        item:add_proto_expert_info(E.bad_value)
        return
    end
    item:add(F["sample.value"], range, text):set_generated()
    local label = channel.type.name == "enum8" and channel.labels[tonumber(text)]
    local shown = label and ("%s (%s)"):format(label, text) or text
    if channel.type.name == "time" then
        shown = text .. " us" .. date(range:int64())
    end
    if channel.unit ~= "" then
        item:add(F["sample.unit"], range, channel.unit):set_generated()
        shown = shown .. " " .. channel.unit
    end
    if is_number(channel.type) and channel.elements == 1 then
        -- The texts of infinities are not everywhere numbers to Lua.
        local number = tonumber(text) or LIMITS[text]
        item:add(F["sample.number"], range, number):set_generated()
    end
    item:set_text(channel.name .. ": " .. shown)
end

-- Whether a presence bitmap has the channel with this index, from 1 (§5.8).
local function is_present(bitmap, index)
    local byte = bitmap:byte(math.floor((index - 1) / 8) + 1)
    return math.floor(byte / 2 ^ (7 - (index - 1) % 8)) % 2 == 1
end

-- Rows, by their schema; as bytes where it is not known (§5.7, §5.8).
local function add_rows(tree, name, reader, state, is_sparse)
    local count, schema = state.seen.count, state.schema
    if not schema or count == 0 then
        return tree:add(F[name], reader:take(reader:left(), "rows"))
    end
    for row = 0, count - 1 do
        local first = reader.at
        -- Its length is known at its end.
        local item = tree:add(F.row, reader.tvb(first, reader:left()))
        item:set_text(("row %d"):format(row))
        if state.has_row_numbers then
            local number = (state.seq + row) % 2 ^ 32
            item:append_text((", number %d"):format(number))
            item:add(F["row.number"], reader.tvb(first, 0), number):set_generated()
        end
        if count > 1 then
            local offset = reader:take(4, "time offset")
            item:add(F["row.time_offset"], offset):append_text(" us after t0")
            state.shown = reader.at
        end
        local bitmap
        if is_sparse then
            local len = math.ceil(#schema.channels / 8)
            local range = reader:take(len, "presence bitmap")
            item:add(F["row.presence"], range)
            state.shown = reader.at
            bitmap = raw(reader.tvb, reader.at - len, len)
        end
        for index, channel in ipairs(schema.channels) do
            if not bitmap or is_present(bitmap, index) then
                add_sample(item, reader, channel)
                state.shown = reader.at
            end
        end
        item:set_len(reader.at - first)
        state.shown = reader.at
    end
end

-- A count byte, then that many entries, each added by `add`.
local function add_entries(tree, name, reader, state, add)
    local range = reader:take(1, name)
    tree:add(F[name], range)
    state.shown = reader.at
    for index = 0, range:uint() - 1 do
        add(index)
        state.shown = reader.at
    end
end

local WALK = {}

local function walk_number(len, key)
    return function(tree, name, reader, state, field)
        local range = reader:take(len, field[1])
        tree:add(F[name], range)
        if len < 8 then
            state.seen[field[1]] = range:uint()
        end
    end
end

for _, kind in ipairs({ "u8", "code" }) do
    WALK[kind] = walk_number(1)
end
for _, kind in ipairs({ "u16", "error_code" }) do
    WALK[kind] = walk_number(2)
end
for _, kind in ipairs({ "u32", "hex32" }) do
    WALK[kind] = walk_number(4)
end
for _, kind in ipairs({ "u64", "i64", "hex64" }) do
    WALK[kind] = walk_number(8)
end

function WALK.micros(tree, name, reader, _, field)
    local range = reader:take(8, field[1])
    tree:add(F[name], range):append_text(" us" .. date(range:int64()))
end

function WALK.zero(tree, name, reader, _, field)
    tree:add(F[name], reader:take(field[3], field[1]))
end

function WALK.bits8(tree, name, reader, _, field)
    add_bits(tree, name, field[2], field[3], reader:take(1, field[1]))
end

function WALK.bits16(tree, name, reader, _, field)
    add_bits(tree, name, field[2], field[3], reader:take(2, field[1]))
end

function WALK.clock_and_count(tree, name, reader, state, field)
    local range = reader:take(2, field[1])
    local message = name:match("^[^.]*%.") or ""
    tree:add(F[message .. "clock"], range)
    tree:add(F[message .. "count"], range)
    state.seen.count = range:uint() % 0x4000
end

function WALK.text(tree, name, reader, state, field)
    local first = reader.at
    local text = reader:text(field[1])
    tree:add(F[name], from(reader, first), printable(text))
    state.seen[field[1]] = printable(text)
end

function WALK.bytes(tree, name, reader, _, field)
    local first = reader.at
    local bytes = reader:string(reader:number(1, field[1]), field[1])
    local shown = bytes == "" and "none" or ("%s (%d bytes)"):format(hex(bytes), #bytes)
    tree:add(F[name], from(reader, first)):set_text(field[1] .. ": " .. shown)
end

function WALK.options(tree, _, reader, state, field)
    while reader:left() > 0 do
        local first = reader.at
        local code, len = reader:take(1, "options"), reader:take(2, "options")
        local value = reader:take(len:uint(), "options")
        local item = tree:add(F.option, from(reader, first))
        item:set_text("option: " .. (OPTIONS[code:uint()] or code:uint()))
        item:add(F["option.type"], code)
        item:add(F["option.value"], value)
        if OPTIONS[code:uint()] == "SOFTWARE" then
            item:append_text(" " .. printable(raw(reader.tvb, reader.at - len:uint(), len:uint())))
        end
        state.shown = reader.at
    end
end

function WALK.list(tree, name, reader, state)
    add_entries(tree, name, reader, state, function()
        local first = reader.at
        local entry, code, text = read_entry(reader)
        local range = from(reader, first)
        local kind = VALUE_TYPES[code].name
        local item = tree:add(F.entry, range)
        item:set_text(("%s = %s (%s)"):format(entry == "" and "-" or entry, text, kind))
        item:add(F["entry.name"], range, entry):set_generated()
        item:add(F["entry.type"], range, code):append_text(" " .. kind):set_generated()
        item:add(F["entry.value"], range, text):set_generated()
    end)
end

function WALK.ranges(tree, name, reader, state)
    add_entries(tree, name, reader, state, function()
        local first = reader.at
        local start, stop = reader:take(4, "ranges"), reader:take(4, "ranges")
        local item = tree:add(F.range, from(reader, first))
        item:set_text(("rows %d to %d"):format(start:uint(), stop:uint() - 1))
        item:add(F["range.start"], start)
        item:add(F["range.end"], stop)
    end)
end

function WALK.causes(tree, name, reader, state)
    add_entries(tree, name, reader, state, function()
        local first = reader.at
        local code, count = reader:take(1, "causes"), reader:take(8, "causes")
        local item = tree:add(F.cause, from(reader, first))
        local cause = CODES.skip_cause[code:uint()] or code:uint()
        item:set_text(("%s: %s rows"):format(cause, tostring(count:uint64())))
        item:add(F["cause.code"], code)
        item:add(F["cause.count"], count)
    end)
end

function WALK.rows(tree, name, reader, state)
    add_rows(tree, name, reader, state, false)
end

function WALK.sparse_rows(tree, name, reader, state)
    add_rows(tree, name, reader, state, true)
end

function WALK.rest(tree, name, reader, _, field)
    tree:add(F[name], reader:take(reader:left(), field[1]))
end

-- Every field of a body. Raises what is wrong with it.
local function walk(tree, message, reader, state)
    if message.may_be_empty and reader:left() == 0 then
        return
    end
    for _, field in ipairs(message.fields) do
        if field[2] == "rows" or field[2] == "sparse_rows" or field[1] == "columns" then
            state:find_schema()
        end
        WALK[field[2]](tree, filter_name(message, field), reader, state, field)
        state.shown = reader.at
    end
    if reader:left() > 0 then
        fault(reader:left() .. " bytes are left over after the last field")
    end
end

-- ---------------------------------------------------------------- one message

-- What is wrong with a header: the name of an expert info, or nil. `left`: bytes from here to the end. §3.7.
local function judge(tvb, at, left)
    local first = tvb(at, 1):uint()
    if math.floor(first / 16) ~= 0xA then
        return "bad_magic"
    elseif left < HEADER_LEN then
        return "bad_length"
    elseif tvb(at + 2, 2):uint() < HEADER_LEN + CRC_LEN then
        return "bad_length"
    elseif first % 4 ~= 1 then
        return "bad_trailer"
    end
end

-- What is worth a word in the list of packets.
local SUMMARY = {
    HELLO = function(state) return state.seen.device end,
    WELCOME = function(state) return "next row " .. (state.seen.next_row or "?") end,
    DECLARE = function(state) return state.declared and state.declared.name end,
    CLOSE = function(state) return ERRORS[state.seen.code] or state.seen.code end,
    NACK = function(state) return ERRORS[state.seen.code] or state.seen.code end,
    ACK = function(state) return "below " .. state.seq end,
    COMMAND = function(state) return state.seen.name end,
    DONE = function(state) return CODES.done_status[state.seen.status] end,
    SKIP = function(state) return ("%s rows from %d"):format(state.seen.count or "?", state.seq) end,
}

local function summary(message, state)
    local count = state.seen.count
    if message.is_data and count then
        local name = state.schema and state.schema.name .. " " or ""
        local first = state.has_row_numbers and (" from %d"):format(state.seq) or ""
        local rows = count == 1 and "row" or "rows"
        return ("%s %s%d %s%s"):format(message.name, name, count, rows, first)
    end
    local more = SUMMARY[message.name] and SUMMARY[message.name](state)
    return more and message.name .. " " .. more or message.name
end

-- What the walk finds out, and what it needs.
local function new_state(pinfo, message, session, seq, top)
    local state = { seen = {}, seq = seq, has_row_numbers = message.is_data and not message.name:match("_U$") }
    local collector = collector_of(pinfo, message)
    state.declared = message.name == "DECLARE" and find_schema(collector, session, seq)
    function state:find_schema()
        self.schema = collector and find_schema(collector, session, self.seen.schema)
        if self.schema then
            top:add(F.schema, self.schema.name):set_generated()
        else
            top:add_proto_expert_info(E.no_schema)
        end
    end
    return state
end

local UNKNOWN = { section = "5.25", fields = {} }

local function add_body(top, message, pinfo, tvb, at, length, session, seq)
    local last = at + length - CRC_LEN
    local reader = new_reader(tvb, at + HEADER_LEN, last)
    if message == UNKNOWN then
        if reader:left() > 0 then
            top:add(F.body, reader:take(reader:left(), "body"))
        end
        return ("type 0x%02x"):format(tvb(at + 1, 1):uint())
    end
    local state = new_state(pinfo, message, session, seq, top)
    state.shown = reader.at
    local good, wrong = pcall(walk, top, message, reader, state)
    if not good then
        if type(wrong) ~= "table" then
            error(wrong, 0) -- A mistake of this file, to be seen as one.
        end
        top:add_proto_expert_info(E.bad_body, wrong.fault .. " (§5.26)")
        if state.shown < last then
            top:add(F.undecoded, tvb(state.shown, last - state.shown))
        end
    end
    return summary(message, state)
end

-- Who may send a message by the port that collectors listen on; nil where both ends or neither have it.
local function sender_by_port(pinfo)
    local from_collector, to_collector = pinfo.src_port == PORT, pinfo.dst_port == PORT
    if from_collector ~= to_collector then
        return from_collector and "collector" or "device"
    end
end

-- Shows the message of `length` bytes at `at`; returns a word about it.
local function add_message(tvb, at, length, pinfo, tree)
    local code = tvb(at + 1, 1):uint()
    local message = MESSAGES[code] or UNKNOWN
    local session, seq = tvb(at + 4, 4):uint(), tvb(at + 8, 4):uint()
    local top = tree:add(senda, tvb(at, length))
    top:set_text(("Senda/1 %s, %d bytes, §%s"):format(message.name or ("type 0x%02x"):format(code), length, message.section))
    local header = new_reader(tvb, at, at + HEADER_LEN)
    for _, field in ipairs(HEADER) do
        WALK[field[2]](top, filter_name(nil, field), header, { seen = {} }, field)
    end

    local last = at + length - CRC_LEN
    local good = crc32(raw(tvb, at, length - CRC_LEN)) == tvb(last, CRC_LEN):uint()
    local collector = collector_of(pinfo, message)
    if good and collector and not pinfo.visited then
        learn(message, collector, session, seq, raw(tvb, at + HEADER_LEN, length - HEADER_LEN - CRC_LEN))
    end
    local identity = collector and sessions[collector .. "|" .. session]
    if identity then
        top:add(F.device, identity.device):set_generated()
        top:append_text(", of " .. identity.device)
    end
    local sender = sender_by_port(pinfo)
    if sender and message.from and message.from ~= "both" and message.from ~= sender then
        top:add_proto_expert_info(E.wrong_direction)
    end

    local word = add_body(top, message, pinfo, tvb, at, length, session, seq)
    local crc = top:add(F.crc, tvb(last, CRC_LEN))
    if not good then
        crc:add_proto_expert_info(E.bad_crc)
        return word .. " [bad CRC]"
    end
    return word
end

-- ---------------------------------------------------------------- packets

-- Bytes that should be a message and are none.
local function add_failure(tvb, at, tree, name)
    local range = tvb(at)
    local top = tree:add(senda, range)
    top:set_text(("Senda/1: no message (%s), %d bytes"):format(name, range:len()))
    top:add_proto_expert_info(E[name])
    top:add(F.undecoded, range)
    return ("[%s]"):format(name)
end

-- A message that goes on beyond what was captured, or in a segment that will not be put together with this one.
local function add_cut(tvb, at, tree)
    local range = tvb(at)
    local top = tree:add(senda, range)
    top:set_text(("Senda/1: a part of a message, %d bytes"):format(range:len()))
    top:add_proto_expert_info(E.cut)
    top:add(F.undecoded, range)
    return "[cut]"
end

local function is_tcp(pinfo)
    return pinfo.port_type == 2
end

-- All messages of a datagram, or of the part of a connection that is at hand.
local function dissect(tvb, pinfo, tree)
    local at, stop = 0, tvb:captured_len()
    local words = {}
    while at < stop do
        local left = stop - at
        local wrong = judge(tvb, at, left)
        local length = left >= 4 and tvb(at + 2, 2):uint() or nil
        -- §3.7: what is too short is so before its trailer counts.
        local is_short = wrong ~= "bad_magic"
            and (left < HEADER_LEN or wrong ~= "bad_length" and length > left)
        if is_short and is_tcp(pinfo) and pinfo.can_desegment > 0 then
            pinfo.desegment_offset = at
            pinfo.desegment_len = left < HEADER_LEN and DESEGMENT_ONE_MORE_SEGMENT or length - left
            break
        elseif is_short and (is_tcp(pinfo) or stop < tvb:reported_len()) then
            words[#words + 1] = add_cut(tvb, at, tree)
            break
        elseif wrong or is_short then
            words[#words + 1] = add_failure(tvb, at, tree, is_short and "bad_length" or wrong)
            break
        end
        words[#words + 1] = add_message(tvb, at, length, pinfo, tree)
        at = at + length
    end
    if #words > 0 then
        pinfo.cols.protocol = "Senda"
        pinfo.cols.info:set(table.concat(words, ", ") .. "  ")
        pinfo.cols.info:fence()
    end
    return tvb:captured_len()
end
senda.dissector = dissect

-- Whether bytes that nobody called Senda begin with a whole message of it.
local function begins_with_message(tvb)
    local len = tvb:captured_len()
    if len < HEADER_LEN + CRC_LEN or judge(tvb, 0, len) or not MESSAGES[tvb(1, 1):uint()] then
        return false
    end
    local length = tvb(2, 2):uint()
    return length <= len
        and crc32(raw(tvb, 0, length - CRC_LEN)) == tvb(length - CRC_LEN, CRC_LEN):uint()
end

-- Whether a connection may begin so: a HELLO of which a part is there (§5.1).
local function begins_with_hello(tvb)
    return tvb:captured_len() >= HEADER_LEN
        and not judge(tvb, 0, tvb:captured_len())
        and tvb(1, 1):uint() == 0x01
        and tvb(2, 2):uint() >= 65
        and tvb(4, 4):uint() == 0
        and tvb(8, 4):uint() == 0
end

senda:register_heuristic("udp", function(tvb, pinfo, tree)
    if not begins_with_message(tvb) then
        return false
    end
    dissect(tvb, pinfo, tree)
    return true
end)

senda:register_heuristic("tcp", function(tvb, pinfo, tree)
    if not (begins_with_message(tvb) or begins_with_hello(tvb)) then
        return false
    end
    -- The rest of the connection is Senda too.
    pinfo.conversation = senda
    dissect(tvb, pinfo, tree)
    return true
end)

DissectorTable.get("udp.port"):add(PORT, senda)
DissectorTable.get("tcp.port"):add(PORT, senda)
