package control

import (
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// strictJSON reads calls that are sent as JSON. A field that the contract does not have is refused: a misspelt "until" or "from"
// would otherwise make more of a call than was meant.
type strictJSON struct{ name string }

// strict are the options by which handlers read JSON so.
var strict = connect.WithHandlerOptions(connect.WithCodec(strictJSON{"json"}), connect.WithCodec(strictJSON{"json; charset=utf-8"}))

func (c strictJSON) Name() string { return c.name }

func (strictJSON) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", v)
	}
	return protojson.Marshal(m)
}

func (strictJSON) Unmarshal(text []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", v)
	}
	if len(text) == 0 {
		return errors.New("there is none: send a JSON object, {} at least")
	}
	if err := protojson.Unmarshal(text, m); err != nil {
		return fmt.Errorf("it is not as the contract says (sekisho.proto): %w", err)
	}
	return nil
}
