/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What have the player, the display and the network just done?
 *
 * Problem: a window helps if it is open before the game's thread is woken, and user space can't be that fast.
 *
 * How: three small programs sit where the kernel itself learns of it, and open the window there and then:
 *   input    on the input core's entry for drivers, for what a hand does: keys, buttons, motion
 *   vblank   on the display's tracepoint, for the CRTCs that user space has chosen
 *   packets  on the network's poll, on the CPU that has done it
 * Each is loaded and attached only where its window has a length (src/sched/sources.rs). Nobody in user space wakes.
 *
 * What an input event says is none of our business: its code and its value are not among the arguments below, and a
 * test reads the instructions to see that none of these programs loads them.
 *
 * Limits: the tracepoint tells the CRTC's index and not the card; user space uses it only where that is enough.
 */
#include "gamer.bpf.h"

/* include/uapi/linux/input-event-codes.h */
#define EV_KEY 0x01
#define EV_REL 0x02
#define EV_ABS 0x03
#define INPUT_PROP_ACCELEROMETER 0x06

u64 vblanks[GR_CRTCS_MAX];	/* seen since the attach, by the CRTC's index on whichever card */
u32 frame_crtcs;		/* bit n: a vblank of CRTC n begins a frame; written by user space */

/*
 * A key, a button, a mouse or a stick. Not a lid or a plug (EV_SW), a lamp or a repeat rate; and what moves without any
 * key or button on it is a sensor, as is what calls itself an accelerometer: nobody's hand.
 */
static bool is_by_hand(const struct input_dev *dev, u32 type)
{
	if (dev->propbit[0] & (1UL << INPUT_PROP_ACCELEROMETER))
		return false;
	return type == EV_KEY || type == EV_REL || (type == EV_ABS && dev->evbit[0] & (1UL << EV_KEY));
}

SEC("?fentry/input_event")
int BPF_PROG(on_input_event, struct input_dev *dev, u32 type)
{
	if (is_by_hand(dev, type))
		open_windows(GR_WINDOW_INPUT, -1);
	return 0;
}

SEC("?tp_btf/drm_vblank_event")
int BPF_PROG(on_vblank, s32 crtc)
{
	u32 index = crtc;

	if (index >= GR_CRTCS_MAX)
		return 0;
	vblanks[index]++;	/* by one interrupt at a time; two cards' may lose a count */
	if (frame_crtcs & (1U << index))
		open_windows(GR_WINDOW_FRAME, -1);
	return 0;
}

SEC("?tp_btf/napi_poll")
int BPF_PROG(on_napi_poll, struct napi_struct *napi, s32 nr_packets)
{
	if (nr_packets > 0)
		open_windows(GR_WINDOW_NAPI, bpf_get_smp_processor_id());
	return 0;
}
