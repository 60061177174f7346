// Package early is initialized before the author's packages: its path sorts low, and it needs nothing but syscall (Go initializes ready packages in the
// order of their paths). It closes the platform's descriptors to children, so that none that an author's init starts has them, and says that the runtime is up.
package early

import "syscall"

const (
	listenerDescriptor = 3
	statusDescriptor   = 4
)

func init() {
	syscall.CloseOnExec(listenerDescriptor)
	syscall.CloseOnExec(statusDescriptor)
	_, _ = syscall.Write(statusDescriptor, []byte("{\"phase\":\"runtime\"}\n"))
}
