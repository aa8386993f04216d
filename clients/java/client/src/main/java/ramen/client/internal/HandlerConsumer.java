package ramen.client.internal;

import ramen.client.AsyncMessageHandler;
import ramen.client.Message;
import ramen.client.MessageHandler;

/** Calls the app's handler: a blocking one in a thread of the workers, an asynchronous one in the loop. */
public final class HandlerConsumer implements Consumer {
  private final MessageHandler handler; // null: asyncHandler
  private final AsyncMessageHandler asyncHandler;
  private final long graceMs;
  private Thread thread; // guarded by this: the one that the handler is called in

  public HandlerConsumer(MessageHandler handler, AsyncMessageHandler asyncHandler, long graceMs) {
    this.handler = handler;
    this.asyncHandler = asyncHandler;
    this.graceMs = graceMs;
  }

  @Override
  public void begin(Message message, Done done) {
    if (handler == null) {
      beginAsync(message, done);
    } else {
      Workers.POOL.execute(() -> done.done(call(message)));
    }
  }

  private Throwable call(Message message) {
    synchronized (this) {
      thread = Thread.currentThread();
    }
    try {
      handler.handle(message);
      return null;
    } catch (Exception | LinkageError | StackOverflowError | AssertionError e) {
      return e;
    } finally {
      synchronized (this) {
        thread = null;
        Thread.interrupted(); // the thread is used again
      }
    }
  }

  private void beginAsync(Message message, Done done) {
    try {
      asyncHandler.handle(message).whenComplete((value, error) -> done.done(error));
    } catch (Exception | LinkageError | StackOverflowError | AssertionError e) {
      done.done(e);
    }
  }

  @Override
  public synchronized boolean interrupt() {
    if (thread != null) {
      thread.interrupt();
    }
    return false;
  }

  @Override
  public long graceMs() {
    return graceMs;
  }

  @Override
  public synchronized boolean inside() {
    return thread == Thread.currentThread();
  }
}
