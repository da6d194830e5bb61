package canary

import "time"

func excused(m map[string]int) {
	_ = time.Now() //det:ok on the line itself
	//det:ok on the line above
	_ = time.Now()
	for k := range m { //det:ok a loop
		send(k)
	}
	_ = time.Now() /* want `//det:ok needs a reason` */  //det:ok
	send()         /* want `//det:ok excuses nothing` */ //det:ok there is nothing here
	_ = time.Now() // want `time.Now`
	_ = time.Now() //det:okay is no excuse // want `time.Now`
	_ = time.Now() // det:ok nor is this // want `time.Now`
	/* want `excuses nothing` */ //det:ok speaks for the next line only

	_ = time.Now() // want `time.Now`
	_ = time.Now() //det:ok covers this line and not the next
	_ = time.Now() // want `time.Now`
}
