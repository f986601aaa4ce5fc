package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sekisho/sekisho"
)

// eventKinds are all kinds of events.
var eventKinds = []string{
	sekisho.EventSignIn,
	sekisho.EventSignInRefused,
	sekisho.EventSignInEnded,
	sekisho.EventProofAsked,
	sekisho.EventProofGiven,
	sekisho.EventProofRefused,
	sekisho.EventDecision,
	sekisho.EventCertificate,
	sekisho.EventCertificateRefused,
	sekisho.EventCAKey,
	sekisho.EventRevoked,
	sekisho.EventRevocationLifted,
	sekisho.EventTokenMade,
	sekisho.EventTokenEnded,
	sekisho.EventTokenRefused,
	sekisho.EventKeyPublished,
	sekisho.EventKeyWithdrawn,
	sekisho.EventSessionStarted,
	sekisho.EventSessionEnded,
	sekisho.EventSessionRefused,
	sekisho.EventVisit,
	sekisho.EventSessionWarned,
	sekisho.EventSessionWatched,
	sekisho.EventSessionUnwatched,
	sekisho.EventSessionStopped,
	sekisho.EventChannel,
	sekisho.EventRequest,
	sekisho.EventFile,
	sekisho.EventForward,
	sekisho.EventForwardClosed,
	sekisho.EventListen,
	sekisho.EventChannelRefused,
	sekisho.EventChannelClosed,
	sekisho.EventRecordingOpened,
	sekisho.EventRecordingClosed,
	sekisho.EventRecordingCut,
	sekisho.EventRecordingLost,
	sekisho.EventRecipientsLoaded,
	sekisho.EventRecordingRead,
	sekisho.EventTargetAdded,
	sekisho.EventTargetHostKey,
	sekisho.EventConnectorJoined,
	sekisho.EventConnectorRefused,
	sekisho.EventConnectorConnected,
	sekisho.EventConnectorLost,
	sekisho.EventPolicyLoaded,
	sekisho.EventPolicyRefused,
	sekisho.EventStarted,
}

// checkKind says which kinds there are if kind is none; a prefix that ends in a dot may stand for any.
func checkKind(kind string) error {
	if kind == "" || strings.HasSuffix(kind, ".") || slices.Contains(eventKinds, kind) {
		return nil
	}
	if slices.ContainsFunc(eventKinds, func(k string) bool { return strings.HasPrefix(k, kind+".") }) {
		return &usageError{fmt.Sprintf("there is no kind %q; for all that begin so: --kind %s.", kind, kind)}
	}
	for _, k := range eventKinds {
		if strings.HasSuffix(k, "."+kind) {
			return &usageError{fmt.Sprintf("there is no kind %q; perhaps --kind %s", kind, k)}
		}
	}
	return &usageError{fmt.Sprintf("there is no kind %q; kinds are %s", kind, strings.Join(eventKinds, ", "))}
}
