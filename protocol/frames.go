package protocol

// Hello is the first thing that a stream says. SPEC 2.2.1.
type Hello struct {
	Resumed     bool
	Stream      string // the opaque name of this stream
	Seq         Seq    // the next push is Seq + 1
	HeartbeatMS uint32
	TimeoutMS   uint32
	AckMS       uint32
	TimeMS      int64  // the server's clock, Unix ms
	Expired     uint32 // messages that expired unacked since the device's last hello
	Cursor      string // the place at which this stream begins: who has processed no push on it resumes with this one
}

// GoAway says why the server ends a stream. SPEC 2.12.1.
type GoAway struct {
	Reason      Reason // ReasonNone where a decoder does not know the word: come back by SPEC 2.13.1
	ReconnectMS uint32 // 0: none. Else the device comes back at a random moment within it
	Detail      string
}

// PollAnswer is the body of a long-poll's answer. SPEC 5.6.2.
type PollAnswer struct {
	Resumed  bool
	Stream   string
	Expired  uint32
	Cursor   string // of the last push, or one that resumes here
	Messages []Push // without cursors
	GoAway   *GoAway
}

// FrameKind says what a DeviceFrame is.
type FrameKind uint8

// The frames of devices. None is a frame with nothing set, or one that this version does not know: it is ignored.
const (
	FrameNone FrameKind = iota
	FrameOpen
	FrameAck
	FrameHeartbeat
	FrameRefresh
)

// DeviceFrame is one frame of a device, on a two-way transport. The fields of other kinds are zero.
type DeviceFrame struct {
	Kind    FrameKind
	Open    OpenFrame
	Seq     Seq            // ack, where Cursor is empty. As it came: it may be beyond MaxSeq
	Cursor  string         // ack; it has the shape of a cursor
	TimeMS  int64          // heartbeat: the server's, repeated
	Token   string         // refresh
	Context *DeviceContext // refresh; nil: none was sent
}

// OpenFrame is the first frame of a device on gRPC. SPEC 7.1.
type OpenFrame struct {
	User   UserID
	Device DeviceID
	Cursor string
	// The first form of a cursor, SPEC 2.4.6. Protobuf knows no absent number, so HasSeq is "one of the two is set".
	HasSeq      bool
	Seq         Seq
	Stream      string
	Context     *DeviceContext
	Token       string
	Window      uint32 // pushes; 0: the transport's most
	HeartbeatMS uint32 // 0: the server's
}

// ServerFrameKind says what a ServerFrame is.
type ServerFrameKind uint8

// The frames of the server. None is a frame with nothing set, or one that this version does not know: it is ignored.
const (
	ServerNone ServerFrameKind = iota
	ServerHello
	ServerPush
	ServerHeartbeat
	ServerGoAway
)

// ServerFrame is one frame of the server, as a client reads it. The fields of other kinds are zero.
type ServerFrame struct {
	Kind   ServerFrameKind
	Hello  Hello
	Push   Push
	GoAway GoAway
	TimeMS int64 // heartbeat; 0 where the transport carries none
}

// FrameError is a frame that breaks the contract: the stream ends without goaway, a WebSocket with 1008. SPEC 2.12.2, 6.3.13.
// A frame that is well formed but holds a bad value is an *Error instead.
type FrameError struct {
	Message string // what was wrong, and what would be right
}

func (e *FrameError) Error() string { return "protocol: frame breaks the contract: " + e.Message }
