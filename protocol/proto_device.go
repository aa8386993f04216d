package protocol

import "google.golang.org/protobuf/encoding/protowire"

// The frames of devices in protobuf: the bytes of a DeviceFrame. SPEC 7.

// The fields of DeviceFrame's oneof.
const (
	deviceOpen      = 1
	deviceAck       = 2
	deviceHeartbeat = 3
	deviceRefresh   = 4
)

// AppendProtoDeviceFrame appends f as a DeviceFrame. A frame of no kind is no bytes.
func AppendProtoDeviceFrame(b []byte, f *DeviceFrame) []byte {
	switch f.Kind {
	case FrameOpen:
		return appendProtoOpen(b, &f.Open)
	case FrameAck:
		seq, cursor := uint64(f.Seq), validText(f.Cursor)
		if cursor != "" {
			seq = 0 // one of the two
		}
		b = appendLen(b, deviceAck, sizeVarintField(1, seq)+sizeStringField(2, cursor))
		b = appendVarintField(b, 1, seq)
		return appendStringField(b, 2, cursor)
	case FrameHeartbeat:
		b = appendLen(b, deviceHeartbeat, sizeVarintField(1, uint64(f.TimeMS)))
		return appendVarintField(b, 1, uint64(f.TimeMS))
	case FrameRefresh:
		var room DeviceContext
		token, context := validText(f.Token), validContext(f.Context, &room)
		b = appendLen(b, deviceRefresh, sizeStringField(1, token)+sizeContextField(2, context))
		b = appendStringField(b, 1, token)
		return appendContextField(b, 2, context)
	}
	return b
}

func appendProtoOpen(b []byte, o *OpenFrame) []byte {
	user, device, cursor, token, stream := validText(o.User), validText(o.Device), validText(o.Cursor), validText(o.Token), validText(o.Stream)
	var room DeviceContext
	context := validContext(o.Context, &room)
	n := sizeStringField(1, user) + sizeStringField(2, device) + sizeStringField(3, cursor) + sizeVarintField(4, uint64(o.Seq)) +
		sizeContextField(5, context) + sizeStringField(6, token) + sizeVarintField(7, uint64(o.Window)) +
		sizeVarintField(8, uint64(o.HeartbeatMS)) + sizeStringField(9, stream)
	b = appendLen(b, deviceOpen, n)
	b = appendStringField(b, 1, user)
	b = appendStringField(b, 2, device)
	b = appendStringField(b, 3, cursor)
	b = appendVarintField(b, 4, uint64(o.Seq))
	b = appendContextField(b, 5, context)
	b = appendStringField(b, 6, token)
	b = appendVarintField(b, 7, uint64(o.Window))
	b = appendVarintField(b, 8, uint64(o.HeartbeatMS))
	return appendStringField(b, 9, stream)
}

func sizeContextField(field protowire.Number, c *DeviceContext) int {
	if c == nil {
		return 0
	}
	return sizeLen(field, sizeContext(c))
}

func sizeContext(c *DeviceContext) int {
	return sizeStringField(1, c.App) + sizeStringField(2, c.AppVersion) + sizeStringField(3, c.OS) + sizeStringField(4, c.OSVersion) +
		sizeStringField(5, c.Model) + sizeStringField(6, c.Locale) + sizeMapField(7, c.Labels)
}

func appendContextField(b []byte, field protowire.Number, c *DeviceContext) []byte {
	if c == nil {
		return b
	}
	b = appendLen(b, field, sizeContext(c))
	b = appendStringField(b, 1, c.App)
	b = appendStringField(b, 2, c.AppVersion)
	b = appendStringField(b, 3, c.OS)
	b = appendStringField(b, 4, c.OSVersion)
	b = appendStringField(b, 5, c.Model)
	b = appendStringField(b, 6, c.Locale)
	return appendMapField(b, 7, c.Labels)
}

// validContext is c with valid texts, kept in room. No context stays none.
func validContext(c, room *DeviceContext) *DeviceContext {
	if c == nil {
		return nil
	}
	*room = DeviceContext{validText(c.App), validText(c.AppVersion), validText(c.OS), validText(c.OSVersion), validText(c.Model),
		validText(c.Locale), validTexts(c.Labels)}
	return room
}

// DecodeProtoDeviceFrame reads the bytes of a DeviceFrame into f. No bytes, or only fields that it does not know, are
// FrameNone. The error is a *FrameError where the frame breaks the contract, an *Error where it holds a bad value; f is
// then not to be used. An ack without a cursor is one of its seq, be it 0: protobuf does not tell 0 from absent.
func DecodeProtoDeviceFrame(b []byte, f *DeviceFrame) error {
	*f = DeviceFrame{}
	err := protoFields("a device's frame", b, func(field protoField) error {
		switch field.number {
		case deviceOpen:
			f.become(FrameOpen)
			return field.message("open", f.Open.readProto)
		case deviceAck:
			f.become(FrameAck)
			return field.message("ack", f.readAck)
		case deviceHeartbeat:
			f.become(FrameHeartbeat)
			return field.message("heartbeat", f.readHeartbeat)
		case deviceRefresh:
			f.become(FrameRefresh)
			return field.message("refresh", f.readRefresh)
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.Open.HasSeq = f.Open.Seq != 0 || f.Open.Stream != ""
	return checkDeviceFrame(f, true)
}

// become drops what f held of another kind: of a oneof's members the last one counts.
func (f *DeviceFrame) become(kind FrameKind) {
	if f.Kind != kind {
		*f = DeviceFrame{Kind: kind}
	}
}

func (f *DeviceFrame) readAck(field protoField) error {
	switch field.number {
	case 1:
		return field.uint((*uint64)(&f.Seq))
	case 2:
		return field.string(&f.Cursor)
	}
	return nil
}

func (f *DeviceFrame) readHeartbeat(field protoField) error {
	if field.number == 1 {
		return field.int64(&f.TimeMS)
	}
	return nil
}

func (f *DeviceFrame) readRefresh(field protoField) error {
	switch field.number {
	case 1:
		return field.string(&f.Token)
	case 2:
		return readContext(field, &f.Context)
	}
	return nil
}

func (o *OpenFrame) readProto(field protoField) error {
	switch field.number {
	case 1:
		return field.string((*string)(&o.User))
	case 2:
		return field.string((*string)(&o.Device))
	case 3:
		return field.string(&o.Cursor)
	case 4:
		return field.uint((*uint64)(&o.Seq))
	case 5:
		return readContext(field, &o.Context)
	case 6:
		return field.string(&o.Token)
	case 7:
		return field.uint32(&o.Window)
	case 8:
		return field.uint32(&o.HeartbeatMS)
	case 9:
		return field.string(&o.Stream)
	}
	return nil
}

// readContext reads a context into *c, which it makes.
func readContext(field protoField, c **DeviceContext) error {
	if *c == nil {
		*c = new(DeviceContext)
	}
	return field.message("context", (*c).readProto)
}

func (c *DeviceContext) readProto(field protoField) error {
	switch field.number {
	case 1:
		return field.string(&c.App)
	case 2:
		return field.string(&c.AppVersion)
	case 3:
		return field.string(&c.OS)
	case 4:
		return field.string(&c.OSVersion)
	case 5:
		return field.string(&c.Model)
	case 6:
		return field.string(&c.Locale)
	case 7:
		return field.entry(&c.Labels)
	}
	return nil
}
