package control

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

// procedures is how the paths of all calls begin.
const procedures = "/sekisho.v1."

// plainCalls answers calls that no client of ours makes, such as those of curl without a header, by an error of the form that
// all others have, which says what to send instead.
func plainCalls(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, procedures) {
			next.ServeHTTP(w, r)
			return
		}
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		switch {
		case !isProcedure(r.URL.Path):
			refusePlain(w, http.StatusNotFound, "unimplemented", "There is no such call. The path is /sekisho.v1.SERVICE/METHOD, such as /sekisho.v1.CAService/List.")
		case r.Method != http.MethodPost:
			w.Header().Set("Allow", http.MethodPost)
			refusePlain(w, http.StatusMethodNotAllowed, "invalid_argument", "Calls are made with POST. Send a JSON object, which may be empty: --json '{}'.")
		case !isCall(kind):
			refusePlain(w, http.StatusUnsupportedMediaType, "invalid_argument",
				fmt.Sprintf("The call is sent as %.80q. Send JSON and say so: -H 'Content-Type: application/json'.", kind))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func isProcedure(path string) bool {
	service, method, _ := strings.Cut(strings.TrimPrefix(path, procedures), "/")
	s := apiv1.File_api_v1_sekisho_proto.Services().ByName(protoreflect.Name(service))
	return s != nil && s.Methods().ByName(protoreflect.Name(method)) != nil
}

// isCall reports whether a body of that type is one that a call may have: of Connect, gRPC or gRPC-Web.
func isCall(kind string) bool {
	switch kind {
	case "application/json", "application/proto":
		return true
	}
	return strings.HasPrefix(kind, "application/connect+") || strings.HasPrefix(kind, "application/grpc")
}

func refusePlain(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"code": code, "message": message})
}
