package shim

import (
	"os"
	"sync"
	"syscall"
)

const (
	hangupEvents = syscall.EPOLLRDHUP | 1<<30 // EPOLLONESHOT
	eventsAtOnce = 64
)

// hangups tells connections that the platform has half-closed them.
//
// Reading would find that out only once the request's body is over: a handler that leaves a body unread, or waits for a reader of its answer, would never
// be told. EPOLLRDHUP tells at once, whatever is still unread. The epoll descriptor is itself waited on by Go's poller: no thread is spent.
type hangups struct {
	epoll int
	file  *os.File

	mu      sync.Mutex
	watched map[int32]*conn
	serial  int32
}

func newHangups() (*hangups, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// Go's poller takes only descriptors that do not block.
	if err := syscall.SetNonblock(epoll, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	h := &hangups{epoll: epoll, file: os.NewFile(uintptr(epoll), "hangups"), watched: map[int32]*conn{}}
	raw, err := h.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	go func() { _ = raw.Read(func(uintptr) bool { h.collect(); return false }) }()
	return h, nil
}

// watch calls c.hungUp once, when the platform has half-closed it or closed it.
func (h *hangups) watch(c *conn) error {
	raw, err := c.socket.SyscallConn()
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.serial++; h.watched[h.serial] != nil; h.serial++ {
	}
	c.serial = h.serial
	h.watched[c.serial] = c
	failed := raw.Control(func(fd uintptr) {
		event := syscall.EpollEvent{Events: hangupEvents, Fd: c.serial}
		err = syscall.EpollCtl(h.epoll, syscall.EPOLL_CTL_ADD, int(fd), &event)
	})
	if failed != nil {
		return failed
	}
	return err
}

// forget is called when the connection was closed (the kernel has forgotten it by itself) or is the author's now.
func (h *hangups) forget(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watched, c.serial)
}

// collect takes every event that is there.
func (h *hangups) collect() {
	var events [eventsAtOnce]syscall.EpollEvent
	for {
		n, err := syscall.EpollWait(h.epoll, events[:], 0)
		if err == syscall.EINTR {
			continue
		}
		if n <= 0 {
			return
		}
		for _, event := range events[:n] {
			h.mu.Lock()
			c := h.watched[event.Fd]
			delete(h.watched, event.Fd)
			h.mu.Unlock()
			if c != nil {
				c.hungUp()
			}
		}
	}
}
